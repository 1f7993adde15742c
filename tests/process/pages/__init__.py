"""Pages of the documentation, done as a reader would do them: every command that they show is run, and what they say comes of it is
compared with what comes."""
