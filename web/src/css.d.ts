import "react";

declare module "react" {
  interface CSSProperties {
    /** Hue of a plate in the library, 0 to 359. */
    "--hue"?: number;
  }
}
