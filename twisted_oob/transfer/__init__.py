"""What joins streams and files: the responder."""
