"""Which message is answered by which part. Handlers convert, call and convert back; one file per group of messages."""
