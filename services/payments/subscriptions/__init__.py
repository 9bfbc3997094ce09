"""Who pays for which plan, and until when: a state machine, and a scheduler that charges each period once."""
