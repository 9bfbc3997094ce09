import type { PaymentPage } from "@gen/reelmesh/payments/v1/checkouts_service_pb";

/** Leaves for the processor's page, by a link or with a form as it wants it. */
export function goAndPay(page: PaymentPage): void {
  if (!page.posted) {
    window.location.assign(page.url);
    return;
  }
  const form = document.createElement("form");
  form.method = "post";
  form.action = page.url;
  for (const [name, value] of Object.entries(page.fields)) {
    const field = document.createElement("input");
    field.type = "hidden";
    field.name = name;
    field.value = value;
    form.append(field);
  }
  document.body.append(form);
  form.submit();
}
