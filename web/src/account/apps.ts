// How apps and providers are called in the account.

import type { LinkedIdentity, SignInOption } from "@gen/reelmesh/identity/v1/sso_pb";

/** What to call an app, which may be gone. */
export function appName(clientName: string): string {
  return clientName === "" ? "An app that is not registered any more" : clientName;
}

/** What to call a linked provider, which may be gone. */
export function providerName(providerName: string): string {
  return providerName === "" ? "A provider that is not there any more" : providerName;
}

/** Providers that can be linked still: of those that one can sign in at, the ones that are not linked. */
export function linkable(
  options: readonly SignInOption[],
  linked: readonly Pick<LinkedIdentity, "providerId">[],
): readonly SignInOption[] {
  const known = new Set(linked.map(({ providerId }) => providerId));
  return options.filter(({ providerId }) => !known.has(providerId));
}
