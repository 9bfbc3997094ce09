import type { ButtonHTMLAttributes, ReactElement } from "react";

import { Icon, type IconName } from "./icons";

interface Props extends ButtonHTMLAttributes<HTMLButtonElement> {
  readonly look?: "primary" | "plain" | "quiet" | "danger";
  readonly icon?: IconName;
  readonly "data-testid"?: string;
}

/** A button. `quiet` has no border until it is pointed at. */
export function Button({ look = "plain", icon, children, className, ...rest }: Props): ReactElement {
  return (
    <button type="button" className={["button", look, className ?? ""].join(" ").trim()} {...rest}>
      {icon === undefined ? null : <Icon name={icon} />}
      {children}
    </button>
  );
}
