"""A namespace of Kubernetes."""
