"""Making the two training domains and training the networks; needs the `[train]` extra."""
