"""Pages and answers over HTTP, on this machine: the exam for a person. Answers of models are not there yet."""
