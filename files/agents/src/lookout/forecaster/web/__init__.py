"""The API: answers from the files that the jobs write, without the memory that those take."""
