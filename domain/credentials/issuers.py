"""Shapes of credentials as their issuers document them, where gitleaks' list has none or knows fewer spellings."""

# Kind, marks, and expression: see `domain.credentials.shapes`. Each repetition has a bound, or ends where the next
# credential could begin.
# fmt: off
SHAPES: tuple[tuple[str, tuple[str, ...], str], ...] = (
    # Tokens of this service's HTTP API; the broker's NKey seeds, and files with a user's JWT and seed.
    ("hyperpage_token", ("hpt_",), r"hpt_[\w-]{20}"),
    ("nats_seed", (r"s[uaoncx][a-z2-7]{56}",), r"S[UAONCX][A-Z2-7]{56}(?![A-Za-z0-9])"),
    ("private_key", ("-----begin ", "---- begin ", "putty-user-key-file-", "age-secret-key-1"),
     r"-----BEGIN (?:[A-Z0-9]{1,12} ){0,4}(?:PRIVATE KEY(?: BLOCK)?|NKEY SEED|USER JWT)-----"
     r"|---- BEGIN SSH2 ENCRYPTED PRIVATE KEY|PuTTY-User-Key-File-\d|AGE-SECRET-KEY-1[A-Z0-9]{58}"),
    ("json_web_token", ("eyj",), r"(?<![\w-])eyJ[\w-]{8,4096}\.(?:eyJ[\w-]{8}|[\w-]{0,4096}\.[\w-]{8,4096}\.[\w-]{8,4096}\.[\w-]{8})"),
    ("password_hash", (r"\$2[abxy]\$\d", r"\$argon2", r"\$[156]\$", r"\$y\$", r"\$apr1\$"),
     r"\$2[abxy]\$\d\d\$[./A-Za-z0-9]{53}|\$argon2(?:id|i|d)\$[^\s\"']{20,60}\$[A-Za-z0-9+/]{20}"
     r"|\$(?:1|apr1|5|6|y)\$[./A-Za-z0-9=$]{20}"),
    # Code and its registries.
    ("github_token", ("ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"), r"gh[pousr]_[A-Za-z0-9]{36}|github_pat_\w{36}"),
    ("gitlab_token", (r"gl(?:pat|oas|dt|rt|rtr|cbt|ptt|ft|imt|agent|wt|soat|ffct)-", r"gr1348941[\w-]{8}"),
     r"gl(?:pat|oas|dt|rt|rtr|cbt|ptt|ft|imt|agent|wt|soat|ffct)-[\w-]{20}|GR1348941[\w-]{20}"),
    ("atlassian_token", (r"at[ac]tt[\w=-]{8}", r"atbb[a-z0-9]{8}", "bbdc-"),
     r"AT[AC]TT[\w=-]{24}|ATBB[A-Za-z0-9]{28}|BBDC-[A-Za-z0-9+/@_-]{40}"),
    ("package_registry_token",
     ("npm_", "pypi-", "dckr_", r"oy2[a-z0-9]{43}", r"cio[a-z0-9]{32}", "packagist_", "clojars_", "rubygems_"),
     r"npm_[A-Za-z0-9]{36}|pypi-AgE[\w-]{30}|dckr_(?:pat|oat)_[\w-]{20}|oy2[a-z0-9]{43}(?![A-Za-z0-9])"
     r"|cio[A-Za-z0-9]{32}(?![A-Za-z0-9])|packagist_[a-z]{3}_[a-f0-9]{40}|CLOJARS_[A-Za-z0-9]{40}|rubygems_[a-f0-9]{40}"),
    ("build_service_token", (r"bk[a-z]{2}_", "ccipat_", "ccipra_", "cciprj_", "sq[pua]_", "pnb_", "nfp_", "rnd_", "vc[a-z]_"),
     r"bk[a-z]{2}_[A-Za-z0-9]{32}|CCI(?:PAT|PRA|PRJ)_[A-Za-z0-9]{20,24}_[a-f0-9]{40}|sq[pua]_[a-f0-9]{40}"
     r"|pnb_[A-Za-z0-9]{36}|nfp_[A-Za-z0-9]{36}|rnd_[A-Za-z0-9]{28}|vc[a-z]_[A-Za-z0-9]{24}"),
    # Chat, planning and office tools.
    ("slack_token", (r"xox[a-z][.-]", r"xapp-\d"), r"xox[abcdeoprs](?:\.xox[bp])?-[\w%+/-]{16}|xapp-\d-[A-Za-z0-9-]{16}"),
    ("webhook_address",
     (r"hooks\.slack\.com/", r"discord(?:app)?\.com/api/webhooks/", "*webhook.office", r"hooks\.zapier\.com/hooks/",
      r"chat\.googleapis\.com/v1/spaces/"),
     r"hooks\.slack\.com/(?:services|workflows|triggers)/[\w/+-]{20}"
     r"|discord(?:app)?\.com/api/webhooks/\d{5,25}/[\w-]{20}"
     r"|webhook\.office(?:365)?\.com/(?:webhookb2|webhook)/[\w@/-]{36}"
     r"|hooks\.zapier\.com/hooks/[a-z]{2,12}/\d{3,12}/\w{5}"
     r"|chat\.googleapis\.com/v1/spaces/\w{3,40}/messages\?key=[\w-]{20}"),
    ("telegram_token", ("*:aa",), r"(?<![A-Za-z0-9])\d{8,10}:AA[\w-]{33}(?![\w-])"),
    ("discord_token", (*(rf"{first}[a-z0-9_-]{{23,27}}\.[\w-]{{6}}\.[\w-]{{27}}" for first in "mno"), r"mfa\.[\w-]{40}"),
     r"[MNO][A-Za-z0-9_-]{23,27}\.[\w-]{6}\.[\w-]{27,38}(?![\w-])|mfa\.[\w-]{80}"),
    ("notion_token", ("ntn_", "secret_"), r"ntn_[A-Za-z0-9]{40}|secret_[A-Za-z0-9]{43}(?![A-Za-z0-9])"),
    ("asana_token", (r"0/\d{13}", r"1/\d{13}", r"2/\d{13}"), r"[012]/\d{13,20}(?:/\d{13,20})?:[a-f0-9]{32}"),
    ("clickup_token", (r"pk_\d{6,9}_",), r"pk_\d{6,9}_[A-Z0-9]{32}"),
    ("trello_token", (r"atta[a-f0-9]{60}",), r"ATTA[A-Fa-f0-9]{60}"),
    ("hubspot_token", (r"pat-[a-z]{2}\d-",), r"pat-[a-z]{2}\d-[a-f0-9]{8}-(?:[a-f0-9]{4}-){3}[a-f0-9]{12}"),
    ("intercom_token", (r"dg9r[a-z0-9+/]{16}",), r"dG9r[A-Za-z0-9+/=]{56}"),
    ("linear_token", ("lin_api_", "lin_oauth_", "lin_wh_"), r"lin_(?:api|oauth|wh)_[A-Za-z0-9]{40}"),
    ("figma_token", ("figd_", "figu_", "figo_", "figr_"), r"fig[duor]_[\w-]{40}"),
    ("typeform_token", ("tfp_",), r"tfp_[A-Za-z0-9_]{40}"),
    ("calendly_zoho_salesforce_token", (r"1000\.[a-f0-9]{32}\.", "*!aq"),
     r"1000\.[a-f0-9]{32}\.[a-f0-9]{32}|(?<![A-Za-z0-9])00D[A-Za-z0-9]{12,15}!AQ[\w.]{90}"),
    ("dropbox_token", (r"sl\.[\w=-]{20}", r"sl\.u\.[\w-]{20}"), r"sl\.(?:u\.)?[\w=-]{120}"),
    ("contentful_token", ("cfpat-",), r"CFPAT-[\w-]{43}"),
    ("segment_token", ("sgp_",), r"sgp_[A-Za-z0-9]{64}"),
    ("adafruit_token", ("aio_",), r"aio_[A-Za-z0-9]{28}"),
    ("airtable_token", (r"pat[a-z0-9]{14}\.",), r"pat[A-Za-z0-9]{14}\.[a-f0-9]{60}"),
    ("postman_token", ("pmak-",), r"PMAK-[A-Za-z0-9]{24}-[A-Za-z0-9]{34}"),
    ("onesignal_token", ("os_v2_",), r"os_v2_(?:app|org)_[A-Za-z0-9]{40}"),
    # Clouds.
    ("aws_access_key", (r"akia[a-z0-9]{16}", r"asia[a-z0-9]{16}", r"abia[a-z0-9]{16}", r"acca[a-z0-9]{16}"),
     r"(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}(?![A-Za-z0-9])"),
    ("aws_session_token", ("iqojb3jpz2lu", "fwogzxivyxdz", "fqogzxivyxdz", r"amzn\.mws\.", r"amzn1\.oa2-cs\."),
     r"(?:IQoJb3JpZ2lu|F[Qw]oGZXIvYXdz)[A-Za-z0-9+/=]{50}|amzn\.mws\.[a-f0-9]{8}-[a-f0-9-]{20}|amzn1\.oa2-cs\.v1\.[a-f0-9]{40}"),
    ("google_key", (r"aiza[\w-]{8}", r"ya29\.", "gocspx-", r"1//0[\w-]{8}"),
     r"AIza[\w-]{35}(?![\w-])|ya29\.[\w-]{20}|GOCSPX-[\w-]{28}|1//0[\w-]{40}"),
    ("storage_key", ("accountkey=", "sharedaccesskey=", "sharedsecretvalue=", "sig="),
     r"(?:AccountKey|SharedAccessKey|SharedSecretValue)=[A-Za-z0-9+/%]{40}|sig=[A-Za-z0-9+/%]{40}"),
    ("azure_key", ("*jqqj99", "*azdo", "*azfu", "*azse", "*+ast", "*+asb", "*+aeh"),
     r"(?<![A-Za-z0-9+/])[A-Za-z0-9+/]{40,76}(?:JQQJ99[A-Z0-9]{4}|AZDO|AzFu|AzSe|\+ASt|\+ASb|\+AEh)[A-Za-z0-9+/]{4,24}"),
    ("cloud_token",
     (r"do[opr]_v1_", r"fm[12][ar]?_", r"tskey-[a-z]+-", "hrku-", "cfat_", "cfut_", "cfk_", r"ltai[a-z0-9]{8}",
      r"akid[a-z0-9]{32}", r"scw[a-z0-9]{17}", "napi_", "mdb_sa_sk_", r"akab-[a-z0-9]{16}-", r"2[a-z0-9]{26}_[a-z0-9]{20}",
      "ccdb1_", "essu_"),
     r"do[opr]_v1_[a-f0-9]{64}|fm[12][ar]?_[A-Za-z0-9+/]{60}|tskey-[a-z]{2,12}-[\w-]{16}|HRKU-[\w-]{36}|cf(?:at|ut|k)_[A-Za-z0-9]{36}"
     r"|LTAI[A-Za-z0-9]{12,20}(?![A-Za-z0-9])|AKID[A-Za-z0-9]{32}(?![A-Za-z0-9])|SCW[A-Z0-9]{17}(?![A-Za-z0-9])|napi_[a-z0-9]{40}"
     r"|mdb_sa_sk_[\w-]{36}|akab-[a-z0-9]{16}-[a-z0-9]{16}|2[A-Za-z0-9]{26}_[A-Za-z0-9]{20,24}(?![A-Za-z0-9_])|CCDB1_[A-Za-z0-9]{20}_[A-Za-z0-9]{36}"
     r"|essu_[A-Za-z0-9+/=]{40}"),
    # Keepers of secrets.
    ("vault_token", (r"hv[sbr]\.",), r"hv[sbr]\.[\w-]{24}"),
    ("terraform_token", ("*.atlasv1.",), r"(?<![A-Za-z0-9])[A-Za-z0-9]{14}\.atlasv1\.[\w=-]{40}"),
    ("doppler_token", (r"dp\.[a-z]{2,5}\.",), r"dp\.(?:pt|ct|st|sa|scim|audit)\.(?:[a-z0-9_-]{2,35}\.)?[A-Za-z0-9]{40}"),
    ("secret_keeper_token", (r"st\.[a-f0-9]{8}-", "ops_eyj", r"token-[a-z0-9]{5}:"),
     r"st\.[a-f0-9]{8}-(?:[a-f0-9]{4}-){3}[a-f0-9]{12}\.[a-f0-9]{32}|ops_eyJ[A-Za-z0-9+/=]{60}|token-[a-z0-9]{5}:[a-z0-9]{54}"),
    # Databases.
    ("database_token", (r"dapi[a-f0-9]{8}", "pscale_", "sbp_", "sb_secret_", r"4b1d[a-z0-9]{38}", "slk_"),
     r"dapi[a-f0-9]{32}|pscale_(?:tkn|oauth|pw)_[\w.=-]{32}|sbp_(?:oauth_|v0_)?[a-f0-9]{40}|sb_secret_[\w-]{22}|slk_[a-f0-9]{64}"),
    # Monitoring and mail.
    ("monitoring_token",
     (r"glsa_", "glc_", r"sntry[a-z]_", "nrak-", "nrii-", "nrra-", "nrjs-", r"phx_", r"phs_", r"hc[abx][a-z]{2}_", r"dt0[a-z]\d\d\.",
      r"sdk-[a-f0-9]{8}-", r"api-[a-f0-9]{8}-", "ddapp_", r"xkeysib-", "xsmtpsib-", "odt_"),
     r"gl(?:sa|c)_[\w+/=]{32}|sntry[a-z]_[A-Za-z0-9+/=_-]{40}|NR(?:AK|II|RA)-[A-Za-z0-9-]{27}|NRJS-[a-f0-9]{19}|ph[xs]_[A-Za-z0-9]{40}"
     r"|hc[abx][a-z]{2}_[a-z0-9]{50}|dt0[a-z]\d\d\.[A-Za-z0-9]{24}\.[A-Za-z0-9]{60}|(?:sdk|api)-[a-f0-9]{8}-(?:[a-f0-9]{4}-){3}[a-f0-9]{12}(?![A-Za-z0-9-])"
     r"|ddapp_[A-Za-z0-9]{30}|x(?:keys|smtps)ib-[a-f0-9]{64}|odt_[A-Za-z0-9]{32}"),
    ("mail_token", (r"sg\.[\w-]{16}", r"key-[a-f0-9]{32}", "*-us", r"re_[a-z0-9]{8}_", r"mlsn\."),
     r"SG\.[\w-]{16,32}\.[\w-]{16}|key-[a-f0-9]{32}(?![A-Za-z0-9])|(?<![A-Za-z0-9])[a-f0-9]{32}-us\d{1,2}(?![A-Za-z0-9])"
     r"|re_[A-Za-z0-9]{8}_[A-Za-z0-9]{24}|mlsn\.[a-f0-9]{60}"),
    ("twilio_key", (r"sk[0-9a-f]{32}",), r"SK[0-9a-fA-F]{32}(?![A-Za-z0-9])"),
    ("pubnub_key", ("sec-c-",), r"sec-c-[A-Za-z0-9]{40}"),
    # Money and shops.
    ("stripe_key", (r"sk_(?:live|test|prod|org)_", r"rk_(?:live|test|prod|org)_", "whsec_", "ak_live_", "ak_test_"),
     r"[sr]k_(?:live|test|prod|org)_[A-Za-z0-9]{16}|whsec_[A-Za-z0-9+/]{24}|ak_(?:live|test)_[A-Za-z0-9]{28}"),
    ("payment_token",
     (r"access_token\$", r"sq0[a-z]{3}-", r"eaaa[\w-]{20}", r"shp[a-z]{2,3}_", "flwseck", "rzp_live_", "rzp_test_", r"pdl_", "shippo_", "live_[a-z0-9]{30}",
      r"access-(?:sandbox|development|production)-", r"eaa[a-z][a-z0-9]{20}", "ezak", "eztk", "duffel_"),
     r"access_token\$(?:production|sandbox)\$[a-z0-9]{16}\$[a-f0-9]{32}|sq0(?:atp|csp|idb)-[\w-]{22}|shp(?:at|ca|pa|ss|ua|tka)_[a-fA-F0-9]{32}"
     r"|FLWSECK(?:_TEST)?-[A-Za-z0-9]{12}|rzp_(?:live|test)_[A-Za-z0-9]{14}|pdl_(?:live|sdbx)_apikey_[a-z0-9]{20}|shippo_(?:live|test)_[a-f0-9]{40}"
     r"|live_[A-Za-z0-9]{30}(?![A-Za-z0-9])|access-(?:sandbox|development|production)-[a-f0-9]{8}-[a-f0-9-]{27}"
     r"|EAA[A-Za-z0-9]{90}|EZ[AT]K[A-Za-z0-9]{54}|duffel_(?:live|test)_[\w=-]{40}"),
    # Models.
    ("model_provider_key",
     (r"sk-[\w-]{16}", "hf_", "api_org_", "gsk_", "xai-", "nvapi-", "r8_", "pplx-", r"lsv2_", "pcsk_", "sk_[a-f0-9]{40}", "fw_", "tgp_v1_", "jina_", "tvly-", "csk-",
      "vf\\.", "e2b_", "wandb_v1_", "esecret_", "fc-[a-f0-9]{32}"),
     r"sk-(?:ant-|proj-|svcacct-|admin-|or-v1-|None-)[\w-]{20}|sk-[A-Za-z0-9]{20}T3BlbkFJ|sk-[A-Za-z0-9]{32,64}(?![\w-])|hf_[A-Za-z]{34}"
     r"|api_org_[A-Za-z]{34}|gsk_[A-Za-z0-9]{40}|xai-[A-Za-z0-9_]{60}|nvapi-[\w-]{50}|r8_[A-Za-z0-9_-]{37}|pplx-[A-Za-z0-9]{40}"
     r"|lsv2_[a-z]{2}_[a-f0-9]{32}|pcsk_[A-Za-z0-9_]{40}|sk_[a-f0-9]{40}|fw_[A-Za-z0-9]{22}(?![A-Za-z0-9])|tgp_v1_[\w-]{40}|jina_[a-f0-9]{32}"
     r"|tvly-[A-Za-z0-9-]{24}|csk-[a-z0-9]{40}|VF\.(?:DM\.|WS\.)?[a-f0-9]{24}\.[A-Za-z0-9]{16}|e2b_[a-f0-9]{40}|esecret_[A-Za-z0-9]{30}"),
    ("wireguard_key", ("privatekey ?=", "presharedkey ?="), r"(?:Private|Preshared)Key ?= ?[A-Za-z0-9+/]{43}="),
)
# fmt: on
