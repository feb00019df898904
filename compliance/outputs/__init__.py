"""What an audit leaves behind, for people and for machines."""
