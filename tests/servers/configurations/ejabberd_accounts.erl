%% Evaluated once ejabberd has started; an account that exists stays as it is.
${accounts}
io:format("~nready for accounts~n").
