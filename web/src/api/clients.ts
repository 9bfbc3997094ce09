// The services, each with the credential that its calls need.

import { createClient, type Client } from "@connectrpc/connect";
import { AssetsService } from "@gen/reelmesh/assets/v1/assets_service_pb";
import { AgeService } from "@gen/reelmesh/compliance/v1/age_service_pb";
import { ProductionsService } from "@gen/reelmesh/compliance/v1/productions_service_pb";
import { RecordsService } from "@gen/reelmesh/compliance/v1/records_service_pb";
import { NoticesService } from "@gen/reelmesh/compliance/v1/notices_service_pb";
import { RightsService } from "@gen/reelmesh/compliance/v1/rights_service_pb";
import { AccountsService } from "@gen/reelmesh/identity/v1/accounts_service_pb";
import { CodesService } from "@gen/reelmesh/identity/v1/codes_service_pb";
import { OAuthService } from "@gen/reelmesh/identity/v1/oauth_service_pb";
import { PasskeysService } from "@gen/reelmesh/identity/v1/passkeys_service_pb";
import { SsoService } from "@gen/reelmesh/identity/v1/sso_service_pb";
import { CheckoutsService } from "@gen/reelmesh/payments/v1/checkouts_service_pb";
import { OffersService } from "@gen/reelmesh/payments/v1/offers_service_pb";
import { PolicyService } from "@gen/reelmesh/policy/v1/policy_service_pb";
import { LeaksService } from "@gen/reelmesh/protection/v1/leaks_service_pb";
import { UploadService } from "@gen/reelmesh/upload/v1/upload_service_pb";

import { credential } from "../session/current";
import { authenticated } from "./authenticated";
import { open, transportOf } from "./transport";

const signedIn = transportOf(authenticated(credential));

/** Assets. */
export const assets: Client<typeof AssetsService> = createClient(AssetsService, signedIn);
/** Uploads. */
export const uploads: Client<typeof UploadService> = createClient(UploadService, signedIn);
/** Playback sessions. */
export const policy: Client<typeof PolicyService> = createClient(PolicyService, signedIn);
/** What can be bought. */
export const offers: Client<typeof OffersService> = createClient(OffersService, signedIn);
/** Buying it. */
export const checkouts: Client<typeof CheckoutsService> = createClient(CheckoutsService, signedIn);
/** Proving one's age. */
export const ages: Client<typeof AgeService> = createClient(AgeService, signedIn);
/** Reports of leaks, and what was done to the person because of them. */
export const leaks: Client<typeof LeaksService> = createClient(LeaksService, signedIn);
/** The person's own account and sessions. */
export const account: Client<typeof AccountsService> = createClient(AccountsService, signedIn);
/** What the person may ask about their own data. */
export const rights: Client<typeof RightsService> = createClient(RightsService, signedIn);
/** The person's own passkeys. */
export const passkeys: Client<typeof PasskeysService> = createClient(PasskeysService, signedIn);
/** What has to stand beside titles, without a credential. */
export const records: Client<typeof RecordsService> = createClient(RecordsService, open);
/** Taking a consent back with the link that a performer was given. */
export const productions: Client<typeof ProductionsService> = createClient(ProductionsService, open);
/** Exchange of one-time codes, without a credential. */
export const redemption: Client<typeof PolicyService> = createClient(PolicyService, open);
/** Registering and signing in, without a credential. */
export const entrance: Client<typeof AccountsService> = createClient(AccountsService, open);
/** Signing in by passkey, without a credential. */
export const passkeyEntrance: Client<typeof PasskeysService> = createClient(PasskeysService, open);
/** Signing in by a code that is sent, without a credential. */
export const codeEntrance: Client<typeof CodesService> = createClient(CodesService, open);
/** What apps and devices ask, and the signed-in person's answers. */
export const oauth: Client<typeof OAuthService> = createClient(OAuthService, signedIn);
/** What an app asks that signed its person out, and refusal of an app where nobody is signed in. */
export const refusing: Client<typeof OAuthService> = createClient(OAuthService, open);
/** Sign-in at outside providers, which begins and ends without a credential. */
export const sso: Client<typeof SsoService> = createClient(SsoService, open);
/** The outside providers that the person is linked with. */
export const links: Client<typeof SsoService> = createClient(SsoService, signedIn);
/** Notices, which anybody may give and whoever has a link may answer. */
export const notices: Client<typeof NoticesService> = createClient(NoticesService, open);
