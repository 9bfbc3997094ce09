"""Tax that sales carry: who works it out, and the table of rates that does where nobody else is asked."""
