import { useEffect, useId, useRef, useState, type ReactElement, type RefObject } from "react";

import { Icon } from "../ui/icons";

const ACCEPT = "video/*,.mkv,.mxf,.ts,.m2ts,.mts,.mov,.webm,.avi,.mpg,.mpeg,.wmv";

interface Props {
  readonly onFiles: (files: readonly File[]) => void;
  /** The file field, for buttons elsewhere that open the same picker. */
  readonly input: RefObject<HTMLInputElement | null>;
}

/** Files among dropped things. Folders look like files of unknown type; they are left out. */
function filesOf(transfer: DataTransfer): File[] {
  return [...transfer.items]
    .filter((item) => item.kind === "file" && item.webkitGetAsEntry()?.isDirectory !== true)
    .flatMap((item) => item.getAsFile() ?? []);
}

/** Takes files in by picker, or dropped anywhere on the page. */
export function DropZone({ onFiles, input }: Props): ReactElement {
  const id = useId();
  const [over, setOver] = useState(false);
  const latest = useRef(onFiles);
  useEffect(() => {
    latest.current = onFiles;
  });
  useEffect(() => {
    const drag = (event: DragEvent): void => {
      if (event.dataTransfer?.types.includes("Files") !== true) return;
      event.preventDefault(); // else the browser leaves the page to show the file
      setOver(event.type === "dragover");
      if (event.type === "drop") latest.current(filesOf(event.dataTransfer));
    };
    const leave = (event: DragEvent): void => {
      if (event.relatedTarget === null) setOver(false);
    };
    window.addEventListener("dragover", drag);
    window.addEventListener("drop", drag);
    window.addEventListener("dragleave", leave);
    return () => {
      window.removeEventListener("dragover", drag);
      window.removeEventListener("drop", drag);
      window.removeEventListener("dragleave", leave);
    };
  }, []);
  return (
    <div className={over ? "drop over" : "drop"} data-testid="drop-zone">
      <input
        ref={input}
        id={id}
        className="visually-hidden"
        type="file"
        multiple
        accept={ACCEPT}
        data-testid="file-input"
        onChange={(event) => {
          onFiles([...(event.target.files ?? [])]);
          event.target.value = ""; // so that the same file can be chosen again
        }}
      />
      <label htmlFor={id}>
        <span className="drop-sign">
          <Icon name="upload" />
        </span>
        <strong>{over ? "Let go to add" : "Drop video files here"}</strong>
        <span>
          or <span className="as-link">choose files</span>
        </span>
        <span className="help">
          MP4, MOV, MKV, WebM, MPEG-TS and more. Interrupted uploads go on where they stopped.
        </span>
      </label>
    </div>
  );
}
