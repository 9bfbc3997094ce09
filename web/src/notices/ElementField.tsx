import type { NoticeCategory, NoticeElement } from "@gen/reelmesh/compliance/v1/notices_pb";
import type { ReactElement } from "react";

import { Field } from "../ui/Field";
import { autoCompleteOf, fieldKind, labelOf, lastOf, type Filled } from "./elements";
import { Check, Choice, TextArea } from "./fields";

interface Props {
  readonly element: NoticeElement;
  readonly categories?: readonly NoticeCategory[];
  readonly filled: Filled;
  readonly hint: string;
  readonly onChange: (name: string, value: string) => void;
}

/** One thing that a notice or a counter-notice says. */
export function ElementField({ element, categories = [], filled, hint, onChange }: Props): ReactElement {
  const { name, statement, required } = element;
  const value = filled[name] ?? "";
  const shared = {
    label: labelOf(element),
    value,
    hint,
    onChange: (changed: string): void => {
      onChange(name, changed);
    },
    "data-testid": lastOf(name),
  };
  const kind = fieldKind(element);
  switch (kind) {
    case "declared":
      return (
        <Check
          checked={value === "yes"}
          hint={hint}
          data-testid={lastOf(name)}
          onChange={(checked) => {
            onChange(name, checked ? "yes" : "");
          }}
        >
          {statement}
        </Check>
      );
    case "category":
      return <Choice {...shared} choices={categories} />;
    case "long":
      return <TextArea {...shared} />;
    default:
      return (
        <Field
          {...shared}
          type={kind === "email" ? "email" : "text"}
          inputMode={kind === "tel" ? "tel" : undefined}
          autoComplete={autoCompleteOf(name) ?? "off"}
          maxLength={kind === "email" ? 254 : 2000}
          required={required}
        />
      );
  }
}
