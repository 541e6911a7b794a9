"""Pure decisions: who goes first, and where. Values in, values out."""
