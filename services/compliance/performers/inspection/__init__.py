"""The records as a whole: the custodian, the statement beside a title, and the index for an inspection."""
