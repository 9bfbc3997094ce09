// What a notice has to say, as the form asks for it: which field each element is, what it is called, and the request that comes of it.

import type { NoticeElement, NoticeForm, NoticeKind } from "@gen/reelmesh/compliance/v1/notices_pb";

/** What was filled in, by the names of the elements; what is declared is `yes`. */
export type Filled = Readonly<Record<string, string>>;

/** What an element is asked for with. */
export type FieldKind = "category" | "declared" | "long" | "line" | "email" | "tel";

const LABELS: Readonly<Record<string, string>> = {
  category: "What it is about",
  location: "Address of the page where you saw it",
  work: "The work that is infringed, or where it can be seen",
  explanation: "What is wrong, and where in it",
  name: "Your name",
  email: "Your e-mail address",
  phone: "Your phone number",
  postal_address: "Your postal address",
  on_behalf_of: "Whom you act for, if not for yourself",
  signature: "Signature: type your full name",
};
const AUTOCOMPLETE: Readonly<Record<string, string>> = {
  name: "name",
  email: "email",
  phone: "tel",
  postal_address: "street-address",
};

/** The last part of an element's name, such as `email` of `notifier.email`. */
export function lastOf(name: string): string {
  return name.slice(name.lastIndexOf(".") + 1);
}

/** How an element is asked for. */
export function fieldKind({ name, statement }: Pick<NoticeElement, "name" | "statement">): FieldKind {
  if (statement !== "") return "declared";
  const last = lastOf(name);
  if (last === "category") return "category";
  if (last === "explanation" || last === "work") return "long";
  if (last === "email") return "email";
  return last === "phone" ? "tel" : "line";
}

/** What an element is called; those that may be left out say so. */
export function labelOf({ name, required }: Pick<NoticeElement, "name" | "required">): string {
  const label = LABELS[lastOf(name)] ?? lastOf(name);
  return required ? label : `${label} (optional)`;
}

/** What browsers fill it in with; undefined for nothing. */
export function autoCompleteOf(name: string): string | undefined {
  return AUTOCOMPLETE[lastOf(name)];
}

/** Elements that are asked for and were not said; those that a category spares are not among them. */
export function missingOf(form: Pick<NoticeForm, "elements" | "categories">, filled: Filled): readonly string[] {
  const anonymous = form.categories.some(({ name, anonymous }) => anonymous && name === filled.category);
  return form.elements
    .filter(({ name, required }) => required && (filled[name] ?? "").trim() === "")
    .map(({ name }) => name)
    .filter((name) => !(anonymous && (name === "notifier.name" || name === "notifier.email")));
}

interface Contact {
  readonly name: string;
  readonly email: string;
  readonly phone: string;
  readonly postalAddress: string;
  readonly onBehalfOf: string;
  readonly signature: string;
}

interface Notice {
  readonly kind: NoticeKind;
  readonly category: string;
  readonly location: string;
  readonly work: string;
  readonly explanation: string;
  readonly notifier: Contact;
  readonly goodFaith: boolean;
  readonly accurateUnderPerjury: boolean;
  readonly depictedOrAuthorised: boolean;
  readonly withoutConsent: boolean;
  readonly language: string;
}

interface Counter {
  readonly contact: Contact;
  readonly explanation: string;
  readonly goodFaithUnderPerjury: boolean;
  readonly consentsToJurisdiction: boolean;
}

function contactOf(filled: Filled, prefix: string): Contact {
  const said = (name: string): string => (filled[`${prefix}.${name}`] ?? "").trim();
  return {
    name: said("name"),
    email: said("email"),
    phone: said("phone"),
    postalAddress: said("postal_address"),
    onBehalfOf: said("on_behalf_of"),
    signature: said("signature"),
  };
}

/** The notice that was filled in. */
export function noticeOf(form: Pick<NoticeForm, "kind">, filled: Filled, language: string): Notice {
  const said = (name: string): string => (filled[name] ?? "").trim();
  return {
    kind: form.kind,
    category: said("category"),
    location: said("location"),
    work: said("work"),
    explanation: said("explanation"),
    notifier: contactOf(filled, "notifier"),
    goodFaith: said("good_faith") === "yes",
    accurateUnderPerjury: said("accurate_under_perjury") === "yes",
    depictedOrAuthorised: said("depicted_or_authorised") === "yes",
    withoutConsent: said("without_consent") === "yes",
    language,
  };
}

/** The counter-notice that was filled in. */
export function counterNoticeOf(filled: Filled): Counter {
  const said = (name: string): string => (filled[`counter_notice.${name}`] ?? "").trim();
  return {
    contact: contactOf(filled, "counter_notice.contact"),
    explanation: said("explanation"),
    goodFaithUnderPerjury: said("good_faith_under_perjury") === "yes",
    consentsToJurisdiction: said("consents_to_jurisdiction") === "yes",
  };
}
