"""Training of the demo family: README.md."""
