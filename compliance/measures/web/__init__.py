"""What answers over HTTP and TLS."""
