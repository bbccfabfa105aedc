"""Why a classifier answers as it does: laid out, and empty so far."""
