"""What a shell starts: the options and the service of twistd's plugin, the demonstration."""
