"""What goes through a link of the proxy."""
