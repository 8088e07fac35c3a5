"""What people say, in Python and in the shell: one command a file."""
