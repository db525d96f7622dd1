"""What runs by the clock, each time in a process of its own, with the memory that numpy takes."""
