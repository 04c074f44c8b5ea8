"""Speed on this machine: each suite decodes real code, takes its modes in turn, and makes rows of one report.

Here and not below `model/`: keystrokes go through the server's own prompts, which the model may not import.
"""
