declare module "swagger-ui-dist/swagger-ui-es-bundle.js" {
  interface Options {
    domNode: HTMLElement;
    url: string;
    deepLinking: boolean;
    defaultModelsExpandDepth: number;
    displayOperationId: boolean;
    docExpansion: "list" | "full" | "none";
    filter: boolean;
    persistAuthorization: boolean;
    validatorUrl: null;
  }
  export default function SwaggerUI(options: Options): unknown;
}
