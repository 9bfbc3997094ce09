import type { AgeOption } from "@gen/reelmesh/compliance/v1/age_service_pb";

/** The ways of which one is accepted where the viewer is: `methods`, separated by commas; empty for all. */
export function waysOf(options: readonly AgeOption[], methods: string): readonly AgeOption[] {
  const accepted = new Set(methods.split(",").filter((method) => method !== ""));
  return accepted.size === 0 ? options : options.filter((option) => accepted.has(option.method));
}
