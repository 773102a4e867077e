"""What is asked of a run, the chain that carries it out, and the files that it leaves."""
