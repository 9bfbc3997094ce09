import type { ReactElement } from "react";

const PATHS = {
  add: "M12 5v14M5 12h14",
  alert: "M12 8.5v4.5m0 3v.01M10.3 4.2 2.9 17a2 2 0 0 0 1.7 3h14.8a2 2 0 0 0 1.7-3L13.7 4.2a2 2 0 0 0-3.4 0Z",
  check: "m5 12.5 4.5 4.5L19 7.5",
  close: "M6 6l12 12M18 6 6 18",
  copy: "M9 9h10v10a1 1 0 0 1-1 1h-8a1 1 0 0 1-1-1V9Zm0 6H5a1 1 0 0 1-1-1V5a1 1 0 0 1 1-1h9a1 1 0 0 1 1 1v4",
  download: "M12 4.5V16m0 0 4.5-4.5M12 16l-4.5-4.5M4.5 15.5v3a1 1 0 0 0 1 1h13a1 1 0 0 0 1-1v-3",
  film: "M4 5h16v14H4V5Zm4 0v14m8-14v14M4 9.7h4m-4 4.6h4m8-4.6h4m-4 4.6h4",
  key: "M14.5 9.5a4.5 4.5 0 1 1-3.2-4.3 4.5 4.5 0 0 1 3.2 4.3Zm-1.3 3.2L20 19.5M17 16.5l2-2",
  passkey:
    "M9 11.5a3.75 3.75 0 1 0 0-7.5 3.75 3.75 0 0 0 0 7.5Zm-6 8c0-3 2.7-5 6-5 1.2 0 2.3.3 3.2.7M17.5 15.5a2.5 2.5 0 1 0-1.5-.5v5l1.5 1.5 1.5-1.5-1-1 1-1-1-1v-1.3",
  pause: "M8.5 5.5v13m7-13v13",
  person: "M12 12a4 4 0 1 0 0-8 4 4 0 0 0 0 8Zm-7.5 8c0-3.3 3.4-5.5 7.5-5.5s7.5 2.2 7.5 5.5",
  play: "M8 5.2v13.6L19 12 8 5.2Z",
  remove: "M5 7h14M10 7V4.5h4V7m3 0-.8 12.5H7.8L7 7m3.3 4v5m3.4-5v5",
  retry: "M4.5 12a7.5 7.5 0 1 0 2.4-5.5M4.5 4.5v4h4",
  "sign-out": "M14 7V5a1 1 0 0 0-1-1H5.5a1 1 0 0 0-1 1v14a1 1 0 0 0 1 1H13a1 1 0 0 0 1-1v-2M10 12h10m0 0-3-3m3 3-3 3",
  stop: "M7 7h10v10H7z",
  upload: "M12 16V4.5m0 0L7.5 9M12 4.5 16.5 9M4.5 15.5v3a1 1 0 0 0 1 1h13a1 1 0 0 0 1-1v-3",
} as const;

/** Names of the pictures. */
export type IconName = keyof typeof PATHS;

/** A line picture of 20 px in the colour of the text. Always beside words, so it is hidden from screen readers. */
export function Icon({ name }: { name: IconName }): ReactElement {
  return (
    <svg className="icon" viewBox="0 0 24 24" width="20" height="20" aria-hidden="true" focusable="false">
      <path d={PATHS[name]} />
    </svg>
  );
}

/** The sign of the product. */
export function Mark(): ReactElement {
  return (
    <svg className="mark" viewBox="0 0 32 32" width="30" height="30" aria-hidden="true" focusable="false">
      <circle cx="16" cy="16" r="12.5" className="mark-rim" />
      <path d="M16 10.2 10.6 19.4 21.4 19.4Z" className="mark-mesh" />
      <circle cx="16" cy="9.8" r="3" className="mark-node" />
      <circle cx="10.4" cy="19.6" r="3" className="mark-node" />
      <circle cx="21.6" cy="19.6" r="3" className="mark-node" />
    </svg>
  );
}
