"""An old body for a new task: laid out, and empty so far."""
