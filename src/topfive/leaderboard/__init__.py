"""Many entries on one image set: the contest, its plan and its page."""
