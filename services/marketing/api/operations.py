"""marketing's calls by the names that clients know them by, and the problems that are their own."""

from kielto.service.http.openapi import Operation

_CAMPAIGN, _STATE = "404 unknown-campaign", "409 campaign-state"

OPERATIONS = {
    "POST /marketing/campaigns": Operation("createCampaign"),
    "GET /marketing/campaigns/{ident}": Operation("getCampaign", (_CAMPAIGN,)),
    "GET /marketing/campaigns/{ident}/recipients": Operation("listRecipients", (_CAMPAIGN,)),
    "POST /marketing/campaigns/{ident}/launch": Operation("launchCampaign", (_CAMPAIGN, _STATE)),
    "POST /marketing/campaigns/{ident}/disclosures": Operation(
        "discloseRecipients", (_CAMPAIGN, _STATE, "409 nothing-to-disclose")
    ),
    "POST /marketing/campaigns/{ident}/close": Operation("closeCampaign", (_CAMPAIGN,)),
}
