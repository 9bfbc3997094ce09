// What refusals about packages mean.

import type { ErrorReason as PackagingReason } from "@gen/reelmesh/packaging/v1/packaging_pb";

import type { Words } from "./words";

/** Reasons of `packaging.reelmesh`. */
export const packaging: Readonly<Record<Exclude<keyof typeof PackagingReason, "UNSPECIFIED">, Words>> = {
  PACKAGE_NOT_FOUND: {
    title: "There is no such package",
    advice: "It belongs to another organisation or never existed.",
  },
  PACKAGER_FAILED: {
    title: "Packaging failed",
    advice: "Upload the file again. If it fails again, give the operator the correlation id.",
  },
};
