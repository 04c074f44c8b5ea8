"""Checkpoints of others: a directory in Hugging Face layout, read into our names, ids and prompt. No remote code.

Their tokenizers keep their control tokens anywhere, ours stand on the ids 0 to 16, and every part of the program counts
on that. So their ids are moved up by `NUM_CONTROL_IDS` when a checkpoint is read, in the tokenizer and in the rows of
embedding and head alike, and the rows in front are copies of those that play the part (MASK, END_OF_MIDDLE). What is
behind the loader knows one vocabulary.
"""
