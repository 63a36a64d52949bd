# AnyEvent::XMPP with its Ext::OOB, driven by lines of JSON: those of slixmpp_peer.py.
#
# Always a client: its Component never sees a stanza, as it looks for jabber:client, and not
# for jabber:component:accept. It uses TLS, but has no way to be told of a CA, and checks none.
use strict;
use warnings;
use AnyEvent;
use AnyEvent::Handle;
use AnyEvent::XMPP::Connection;
use AnyEvent::XMPP::Ext::Disco;
use AnyEvent::XMPP::Ext::OOB;
use JSON::PP;

$| = 1;
my $json = JSON::PP->new->ascii->canonical;
my $end = AnyEvent->condvar;

sub report {
   my ($event, %about) = @_;
   print $json->encode ({ event => $event, %about }) . "\n";
}

my $oob = AnyEvent::XMPP::Ext::OOB->new;
my $disco = AnyEvent::XMPP::Ext::Disco->new;
$disco->enable_feature ($oob->disco_feature);

$oob->reg_cb (oob_recv => sub {
   my ($oob, $con, $node, $url) = @_;
   report (offer => url => $url->{url}, desc => $url->{desc}, sender => $node->attr ('from'));
   my ($outcome) = $url->{url} =~ m{/([^/]*)\z};
   if ($outcome eq 'success') {
      $oob->reply_success ($con, $node);
   } else {
      $oob->reply_failure ($con, $node, $outcome);
   }
});

my $con;

sub join_server {
   my ($who) = @_;
   $con = AnyEvent::XMPP::Connection->new (
      jid => $who->{jid}, password => $who->{password}, host => $who->{host}, port => $who->{port},
   );
   $con->add_extension ($disco);
   $con->add_extension ($oob);
   $con->reg_cb (
      stream_ready => sub { report (ready => jid => $_[0]->jid) },
      error        => sub { warn "error: " . $_[1]->string . "\n" },
      disconnect   => sub { warn "disconnected: " . ($_[3] || '') . "\n"; $end->send },
   );
   $con->connect;
}

my %do = (
   offer => sub {
      my ($command) = @_;
      $oob->send_url ($con, $command->{to}, $command->{url}, $command->{desc}, sub {
         report (answer => condition => $_[0]);
      });
   },
   disco => sub {
      my ($command) = @_;
      $disco->request_info ($con, $command->{to}, undef, sub {
         my ($disco, $info, $error) = @_;
         report (features => features => $error ? [] : [sort keys %{$info->features}]);
      });
   },
);

my $stdin;
$stdin = AnyEvent::Handle->new (
   fh       => \*STDIN,
   on_eof   => sub { $end->send },
   on_error => sub { $end->send },
   on_read  => sub {
      $stdin->push_read (line => sub {
         my $command = $json->decode ($_[1]);
         $con ? $do{$command->{do}}->($command) : join_server ($command);
      });
   },
);
$end->recv;
