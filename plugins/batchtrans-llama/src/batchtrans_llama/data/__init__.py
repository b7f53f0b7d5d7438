"""From the user's files to the pairs that a model learns from and is measured on: read, filter, split."""
