/** What is said where somebody chooses a password. */
export const NEW_PASSWORD_HELP =
  "10 characters or more. Several unrelated words are easy to remember and hard to guess.";
