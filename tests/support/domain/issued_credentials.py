"""Credentials of many issuers, as their documents show them, and values of many kinds that are none.

Nothing here is taken from the shapes that the detector knows: it would agree with itself. No value here was
ever issued, since they are drawn when a test runs.
"""

import base64
import string
from collections.abc import Callable

from tests.support.domain.credential_corpus import BASE64, DIGITS, HEX, LETTERS, UPPER, URL_SAFE, WORD, Pieces

LOWER = string.ascii_lowercase + DIGITS
BASE32 = string.ascii_uppercase + "234567"
DASHES = "-" * 5
Maker = Callable[[Pieces], str]


def uuid(make: Pieces) -> str:
    return "-".join(make.of(HEX, length) for length in (8, 4, 4, 4, 12))


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def after(prefix: str, alphabet: str, length: int, end: str = "") -> Maker:
    return lambda make: prefix + make.of(alphabet, length) + end


# Credentials with a shape that their issuers have published.
SHAPED: dict[str, Maker] = {
    "hyperpage token": after("hpt_", URL_SAFE, 43),
    "nats user seed": after("SU", BASE32, 56),
    "nats account seed": after("SA", BASE32, 56),
    "nats operator seed": after("SO", BASE32, 56),
    "nats curve seed": after("SX", BASE32, 56),
    "nats creds file": lambda make: (
        f"{DASHES}BEGIN NATS USER JWT{DASHES}\n{make.jwt()}\n------END NATS USER JWT------\n\n"
        f"{DASHES}BEGIN USER NKEY SEED{DASHES}\nSU{make.of(BASE32, 56)}\n------END USER NKEY SEED------\n"
    ),
    "github classic": after("ghp_", WORD, 36),
    "github oauth": after("gho_", WORD, 36),
    "github installation": after("ghs_", WORD, 36),
    "github fine-grained": lambda make: f"github_pat_{make.of(WORD, 22)}_{make.of(WORD, 59)}",
    "gitlab personal": after("glpat-", URL_SAFE, 20),
    "gitlab routable": lambda make: f"glpat-{make.of(URL_SAFE, 44)}.01.{make.of(LOWER, 9)}",
    "gitlab runner": after("glrt-", URL_SAFE, 20),
    "gitlab pipeline trigger": after("glptt-", HEX, 40),
    "gitlab feed": after("glft-", URL_SAFE, 20),
    "atlassian": lambda make: f"ATATT3x{make.of(URL_SAFE, 180)}={make.of(HEX.upper(), 8)}",
    "bitbucket app password": after("ATBB", WORD, 32),
    "npm": after("npm_", WORD, 36),
    "pypi": after("pypi-AgEIcHlwaS5vcmc", URL_SAFE, 120),
    "rubygems": after("rubygems_", HEX, 48),
    "crates.io": after("cio", WORD, 32),
    "nuget": after("oy2", LOWER, 43),
    "docker hub": after("dckr_pat_", URL_SAFE, 27),
    "packagist": after("packagist_uut_", HEX, 68),
    "clojars": after("CLOJARS_", LOWER, 60),
    "artifactory": after("AKCp", WORD, 69),
    "buildkite": after("bkua_", HEX, 40),
    "circleci": lambda make: f"CCIPAT_{make.of(WORD, 22)}_{make.of(HEX, 40)}",
    "sonarqube": after("sqp_", HEX, 40),
    "prefect": after("pnu_", WORD, 36),
    "pulumi": after("pul-", HEX, 40),
    "terraform": lambda make: f"{make.of(WORD, 14)}.atlasv1.{make.of(WORD, 67)}",
    "vault service": after("hvs.", URL_SAFE, 95),
    "vault batch": after("hvb.", URL_SAFE, 150),
    "doppler": after("dp.pt.", WORD, 43),
    "doppler service": after("dp.st.prd.", WORD, 43),
    "1password service account": lambda make: "ops_eyJ" + make.of(WORD, 400),
    "1password secret key": lambda make: "-".join(
        ("A3", make.of(UPPER, 6), make.of(UPPER, 6), *(make.of(UPPER, 5) for _ in range(4)))
    ),
    "age": after("AGE-SECRET-KEY-1", "QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L", 58),
    "infisical": lambda make: f"st.{uuid(make)}.{make.of(HEX, 32)}.{make.of(HEX, 32)}",
    "slack bot": lambda make: f"xoxb-{make.of(DIGITS, 12)}-{make.of(DIGITS, 13)}-{make.of(WORD, 24)}",
    "slack user": lambda make: "-".join(("xoxp", *(make.of(DIGITS, 12) for _ in range(3)), make.of(HEX, 32))),
    "slack app": lambda make: f"xapp-1-A{make.of(UPPER, 10)}-{make.of(DIGITS, 13)}-{make.of(HEX, 64)}",
    "slack cookie": after("xoxd-", WORD + "%", 140),
    "slack webhook": lambda make: (
        f"https://hooks.slack.com/services/T{make.of(UPPER, 10)}/B{make.of(UPPER, 10)}/{make.of(WORD, 24)}"
    ),
    "discord webhook": lambda make: (
        f"https://discord.com/api/webhooks/{make.of(DIGITS, 18)}/{make.of(URL_SAFE, 68)}"
    ),
    "discord bot": lambda make: f"M{make.of(WORD, 23)}.{make.of(WORD, 6)}.{make.of(URL_SAFE, 38)}",
    "teams webhook": lambda make: (
        f"https://acme.webhook.office.com/webhookb2/{uuid(make)}@{uuid(make)}/IncomingWebhook/"
        f"{make.of(HEX, 32)}/{uuid(make)}"
    ),
    "telegram": lambda make: f"{make.of('123456789', 10)}:AA{make.of(URL_SAFE, 33)}",
    "notion": lambda make: f"ntn_{make.of(DIGITS, 11)}{make.of(WORD, 35)}",
    "notion of before": after("secret_", WORD, 43),
    "asana": lambda make: f"1/{make.of('123456789', 16)}:{make.of(HEX, 32)}",
    "asana of today": lambda make: f"2/{make.of('1234', 16)}/{make.of('1234', 16)}:{make.of(HEX, 32)}",
    "clickup": lambda make: f"pk_{make.of('123456789', 8)}_{make.of(UPPER, 32)}",
    "trello": after("ATTA", HEX, 72),
    "hubspot": lambda make: f"pat-na1-{uuid(make)}",
    "linear": after("lin_api_", WORD, 40),
    "figma": after("figd_", URL_SAFE, 43),
    "airtable": lambda make: f"pat{make.of(WORD, 14)}.{make.of(HEX, 64)}",
    "intercom": lambda make: encoded(f"tok:{make.of(HEX, 8)}_{make.of(HEX, 4)}_{make.of(HEX, 40)}:1:0"),
    "typeform": after("tfp_", WORD, 44),
    "postman": lambda make: f"PMAK-{make.of(HEX, 24)}-{make.of(HEX, 34)}",
    "dropbox": after("sl.", URL_SAFE, 136),
    "contentful": after("CFPAT-", URL_SAFE, 43),
    "sentry user": after("sntryu_", HEX, 64),
    "sentry organisation": lambda make: (
        "sntrys_" + encoded('{"iat":1800000000.1,"url":"https://sentry.io","region_url":"https://de.sentry.io",'
        '"org":"acme"}').rstrip("=") + "_" + make.of(BASE64, 43)
    ),
    "sentry dsn with its secret": lambda make: (
        f"https://{make.of(HEX, 32)}:{make.of(HEX, 32)}@o{make.of('123', 6)}.ingest.sentry.io/42"
    ),
    "new relic": after("NRAK-", UPPER, 27),
    "new relic insert": after("NRII-", URL_SAFE.replace("_", ""), 32),
    "grafana service account": lambda make: f"glsa_{make.of(WORD, 32)}_{make.of(HEX, 8)}",
    "grafana cloud": lambda make: "glc_" + encoded(f'{{"o":"1","n":"x","k":"{make.of(WORD, 24)}","m":{{}}}}'),
    "dynatrace": lambda make: f"dt0c01.{make.of(UPPER, 24)}.{make.of(UPPER, 64)}",
    "honeycomb": after("hcaik_01", LOWER, 56),
    "posthog personal": after("phx_", WORD, 43),
    "launchdarkly": lambda make: f"sdk-{uuid(make)}",
    "aws id": after("AKIA", BASE32, 16),
    "aws temporary id": after("ASIA", BASE32, 16),
    "aws session": after("IQoJb3JpZ2luX2Vj", BASE64, 300),
    "amazon mws": lambda make: f"amzn.mws.{uuid(make)}",
    "google api": after("AIza", URL_SAFE, 34, "x"),
    "google access": after("ya29.", URL_SAFE, 140),
    "google refresh": after("1//0", URL_SAFE, 60),
    "google client secret": after("GOCSPX-", URL_SAFE, 28),
    "azure storage": lambda make: f"AccountName=a;AccountKey={make.of(BASE64, 86)}==;EndpointSuffix=x",
    "azure client secret": lambda make: f"{make.of(WORD, 3)}8Q~{make.of(WORD, 34)}",
    "azure openai": lambda make: f"{make.of(WORD, 52)}JQQJ99{make.of(UPPER, 4)}AC{make.of(WORD, 20)}",
    "azure devops": lambda make: f"{make.of(WORD, 76)}AZDO{make.of(WORD, 4)}",
    "azure shared access": lambda make: (
        f"https://acme.blob.core.windows.net/c/f?sv=2024-01-01&se=2026&sig={make.of(WORD, 42)}%3D"
    ),
    "digitalocean": after("dop_v1_", HEX, 64),
    "heroku": after("HRKU-AA", URL_SAFE, 58),
    "fly": after("fm2_", BASE64, 200),
    "netlify": after("nfp_", WORD, 36),
    "tailscale": lambda make: f"tskey-auth-{make.of(WORD, 12)}CNTRL-{make.of(WORD, 32)}",
    "cloudflare origin": lambda make: f"v1.0-{make.of(HEX, 24)}-{make.of(HEX, 146)}",
    "alibaba": after("LTAI", WORD, 20),
    "tencent": after("AKID", WORD, 32),
    "yandex": after("AQVN", URL_SAFE, 36),
    "scaleway": after("SCW", UPPER, 17),
    "databricks": after("dapi", HEX, 32),
    "planetscale": after("pscale_tkn_", URL_SAFE, 43),
    "supabase": after("sbp_", HEX, 40),
    "supabase secret": lambda make: f"sb_secret_{make.of(WORD, 22)}_{make.of(WORD, 8)}",
    "neon": after("napi_", LOWER, 64),
    "mongodb service account": after("mdb_sa_sk_", WORD, 40),
    "clickhouse": after("4b1d", WORD, 38),
    "stripe live": after("sk_live_", WORD, 24),
    "stripe restricted": after("rk_live_", WORD, 99),
    "stripe webhook": after("whsec_", WORD, 32),
    "square": after("EAAA", URL_SAFE, 60),
    "square secret": after("sq0csp-", URL_SAFE, 43),
    "paypal braintree": lambda make: f"access_token$production${make.of(LOWER, 16)}${make.of(HEX, 32)}",
    "shopify": after("shpat_", HEX, 32),
    "razorpay": after("rzp_live_", WORD, 14),
    "plaid": lambda make: f"access-production-{uuid(make)}",
    "mollie": after("live_", WORD, 30),
    "easypost": after("EZAK", WORD, 54),
    "shippo": after("shippo_live_", HEX, 40),
    "facebook": after("EAAC", WORD, 180),
    "sendgrid": lambda make: f"SG.{make.of(URL_SAFE, 22)}.{make.of(URL_SAFE, 43)}",
    "mailgun": after("key-", HEX, 32),
    "mailchimp": lambda make: make.of(HEX, 32) + "-us14",
    "brevo": lambda make: f"xkeysib-{make.of(HEX, 64)}-{make.of(WORD, 16)}",
    "resend": lambda make: f"re_{make.of(WORD, 8)}_{make.of(WORD, 24)}",
    "mailersend": after("mlsn.", HEX, 64),
    "twilio": after("SK", HEX, 32),
    "pubnub": lambda make: "sec-c-" + encoded(uuid(make)).replace("=", ""),
    "anthropic": after("sk-ant-api03-", URL_SAFE, 93, "AA"),
    "openai project": after("sk-proj-", URL_SAFE, 156),
    "openai": lambda make: f"sk-{make.of(WORD, 20)}T3BlbkFJ{make.of(WORD, 20)}",
    "deepseek": after("sk-", HEX, 32),
    "openrouter": after("sk-or-v1-", HEX, 64),
    "huggingface": after("hf_", LETTERS, 34),
    "groq": after("gsk_", WORD, 52),
    "x.ai": after("xai-", WORD, 80),
    "perplexity": after("pplx-", WORD, 48),
    "replicate": after("r8_", WORD, 37),
    "nvidia": after("nvapi-", URL_SAFE, 64),
    "pinecone": lambda make: f"pcsk_{make.of(WORD, 6)}_{make.of(WORD, 63)}",
    "langsmith": lambda make: f"lsv2_pt_{make.of(HEX, 32)}_{make.of(HEX, 10)}",
    "elevenlabs": after("sk_", HEX, 48),
    "zoho": lambda make: f"1000.{make.of(HEX, 32)}.{make.of(HEX, 32)}",
    "salesforce": lambda make: f"00D{make.of(WORD, 12)}!AQ{make.of(WORD, 94)}",
    "ngrok": lambda make: f"2{make.of(WORD, 26)}_{make.of(WORD, 21)}",
    "openshift": after("sha256~", URL_SAFE, 43),
    "rancher": lambda make: f"token-{make.of(LOWER, 5)}:{make.of(LOWER, 54)}",
    "wireguard": lambda make: f"[Interface]\nPrivateKey = {make.of(BASE64, 43)}=\n",
    "json web token": lambda make: make.jwt(),
    "json web token, encrypted": lambda make: ".".join(
        (encoded('{"alg":"RSA-OAEP","enc":"A256GCM"}').rstrip("="), make.of(URL_SAFE, 342),
         make.of(URL_SAFE, 16), make.of(URL_SAFE, 90), make.of(URL_SAFE, 22))
    ),
    "bcrypt": lambda make: f"$2b$12${make.of(WORD + './', 53)}",
    "argon2": lambda make: f"$argon2id$v=19$m=65536,t=3,p=4${make.of(BASE64, 22)}${make.of(BASE64, 43)}",
    "putty key": lambda make: f"PuTTY-User-Key-File-3: ssh-ed25519\nPrivate-Lines: 1\n{make.of(BASE64, 48)}",
    **{
        f"pem of {kind or 'PKCS 8'}": lambda make, kind=kind: (  # type: ignore[misc]
            f"{DASHES}BEGIN {kind}PRIVATE KEY{DASHES}\n{make.of(BASE64, 64)}\n"
            f"{DASHES}END {kind}PRIVATE KEY{DASHES}\n"
        )
        for kind in ("", "RSA ", "EC ", "DSA ", "OPENSSH ", "ENCRYPTED ")
    },
    "pgp": lambda make: f"{DASHES}BEGIN PGP PRIVATE KEY BLOCK{DASHES}\n\n{make.of(BASE64, 64)}",
    # Credentials without a shape of their own, in a context that gives them away.
    **{
        f"password in {scheme}": lambda make, scheme=scheme: (  # type: ignore[misc]
            f"{scheme}://app:{make.of(WORD, 9)}@db.example.com/x"
        )
        for scheme in ("postgres", "mysql", "mongodb+srv", "redis", "amqp", "https", "nats")
    },
    "token in a url": lambda make: f"https://{make.of(WORD, 40)}@github.com/acme/site.git",
    "bearer": lambda make: f"Bearer {make.of(WORD, 40)}",
    "basic": lambda make: "Basic " + encoded(f"me:{make.of(WORD, 12)}"),
    "token scheme": lambda make: f"token {make.of(HEX, 40)}",
    "bot scheme": lambda make: f"Bot {make.of(WORD, 59)}",
    "okta scheme": lambda make: f"SSWS 00{make.of(URL_SAFE, 40)}",
    "connection string": lambda make: f"Server=db;Database=main;User Id=sa;Password={make.of(WORD, 12)};",
    "short connection string": lambda make: f"Server=db;Uid=sa;Pwd={make.of(LETTERS, 7)};Encrypt=yes",
    "libpq": lambda make: f"host=db port=5432 dbname=main user=app password={make.of(LETTERS, 8)}",
    "jdbc query": lambda make: f"jdbc:mysql://db/main?user=app&password={make.of(LETTERS, 5)}7x",
    "curl": lambda make: f"curl -H 'Authorization: Bearer {make.of(WORD, 32)}' https://api.example.com",
    "curl -u": lambda make: f"curl -u admin:{make.of(WORD, 12)} https://api.example.com",
    "shell": lambda make: f"export GITHUB_TOKEN={make.of(WORD, 40)}",
    "npmrc": lambda make: f"//registry.example.com/:_authToken={make.of(WORD, 36)}",
    "markup": lambda make: f"<server><user>me</user><password>{make.of(WORD, 9)}7x</password></server>",
    "netrc": lambda make: f"machine api.example.com login me password {make.of(WORD, 14)}",
}  # fmt: skip

# Credentials that look like a hash or an id: without a telling name, they can't be recognized.
UNSHAPED: dict[str, Maker] = {
    "datadog": after("", HEX, 32),
    "twilio auth": after("", HEX, 32),
    "cloudflare global": after("", HEX, 37),
    "cloudflare token": after("", URL_SAFE, 40),
    "aws secret": after("", BASE64, 40),
    "heroku of before": uuid,
    "postmark": uuid,
    "snyk": uuid,
    "fastly": after("", URL_SAFE, 32),
    "algolia": after("", HEX, 32),
    "trello of before": after("", HEX, 64),
    "pagerduty": after("u+", WORD, 18),
    "okta": after("00", URL_SAFE, 40),
    "gitlab of before": after("", URL_SAFE, 20),
    "sentry of before": after("", HEX, 64),
    "zendesk": after("", WORD, 40),
    "wandb": after("", HEX, 40),
    "cohere": after("", WORD, 40),
    "mistral": after("", WORD, 32),
    "hetzner": after("", WORD, 64),
    "password of words": lambda make: "-".join(("correct", "horse", "battery", "staple")),
}


def honest(make: Pieces) -> dict[str, str]:
    """Texts of many kinds, all of which must be let through."""
    commit, sha256 = make.of(HEX, 40), make.of(HEX, 64)
    return {
        "uuid": uuid(make),
        "uuid in upper case": uuid(make).upper(),
        "uuid behind a prefix": f"job-{uuid(make)}",
        "uuid in a path": f"/v1/repositories/{uuid(make)}/runs/{uuid(make)}",
        "urn": f"urn:uuid:{uuid(make)}",
        "ulid": "01" + make.of("0123456789ABCDEFGHJKMNPQRSTVWXYZ", 24),
        "ulid in lower case": "01" + make.of("0123456789abcdefghjkmnpqrstvwxyz", 24),
        "ulid behind a prefix": "job_01" + make.of("0123456789abcdefghjkmnpqrstvwxyz", 24),
        "api behind a prefix": "API-01" + make.of("0123456789ABCDEFGHJKMNPQRSTVWXYZ", 24),
        "ksuid": make.of(WORD, 27),
        "nanoid": make.of(URL_SAFE, 21),
        "object id": make.of(HEX, 24),
        "snowflake": make.of("123456789", 19),
        "commit": commit,
        "commits": f"{commit}..{make.of(HEX, 40)}",
        "commit in a text": f"reverts {commit}, which broke the build of {make.of(HEX, 7)}",
        "commit behind a prefix": f"site-{commit}",
        "tree": f"https://github.com/acme/site/tree/{commit}/docs",
        "digest": f"ghcr.io/acme/site@sha256:{sha256}",
        "digest behind a tag": f"registry.example.com:5000/acme/site:1.2.3@sha256:{sha256}",
        "layer": f"sha256:{sha256}",
        "integrity": f"sha512-{base64.b64encode(make.randbytes(64)).decode()}",
        "etag": f'W/"{make.of(HEX, 32)}"',
        "md5": make.of(HEX, 32),
        "sha512": make.of(HEX, 128),
        "fingerprint": ":".join(make.of(HEX, 2) for _ in range(20)),
        "ssh fingerprint": "SHA256:" + make.of(BASE64, 43),
        "ssh public key": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA" + make.of(BASE64, 43) + " me@example.com",
        "certificate": f"{DASHES}BEGIN CERTIFICATE{DASHES}\n{make.of(BASE64, 64)}\n{DASHES}END CERTIFICATE",
        "public key": f"{DASHES}BEGIN PUBLIC KEY{DASHES}\n{make.of(BASE64, 64)}\n{DASHES}END PUBLIC KEY",
        "nats public key": "U" + make.of(BASE32, 55),
        "age recipient": "age1" + make.of("qpzry9x8gf2tvdw0s3jn54khce6mua7l", 58),
        "png": "data:image/png;base64," + base64.b64encode(make.randbytes(6_000)).decode(),
        "jpeg": base64.b64encode(b"\xff\xd8\xff\xe0" + make.randbytes(12_000)).decode(),
        "zeros in base64": base64.b64encode(bytes(600)).decode(),
        "url-safe base64": base64.urlsafe_b64encode(make.randbytes(300)).decode(),
        "base64 of a text": encoded("The quick brown fox jumps over the lazy dog, again and again."),
        "base64 of json": encoded('{"cursor": {"position": 41872, "page": 3}, "table": "jobs"}'),
        "traceparent": f"00-{make.of(HEX, 32)}-{make.of(HEX, 16)}-01",
        "versions": "1.2.3 v10.20.30-rc.1+build.20261124 2026.11.0 >=3.11,<4 0.0.0-20260921-abcdef123456",
        "phone numbers": "+49 30 901820, +1 (555) 010-9999, 0049-89-2180-0, tel:+43-1-51504",
        "iban": "DE89 3704 0044 0532 0130 00",
        "isbn": "978-3-16-148410-0",
        "mail": "Jane Doe <jane.doe+news2026@mail.example.co.uk>, support@example.com",
        "url": "https://example.com:8443/a/b.html?q=events&page=2&sort=-created_at#section-2.1",
        "url with a user": "ssh://git@example.com:22/acme/site.git",
        "url with an at": "https://medium.example.com/@author/how-we-moved-10000-jobs-1a2b3c4d5e6f",
        "url with a mask": "postgres://app:***@db.example.com:5432/main",
        "url with a reference": "postgres://app:${env:DB_PASSWORD}@db.example.com:5432/main",
        "encoded url": "https%3A%2F%2Fexample.com%2Fa%3Fb%3Dc%26d%3De%20f",
        "encoded text": "na%C3%AFve%20caf%C3%A9%20%E2%82%AC%2012%2C50",
        "path": "/usr/local/lib/python3.11/site-packages/jsonschema_rs/canonical/__init__.py",
        "windows path": "C:\\Users\\me\\AppData\\Local\\Programs\\tool\\configuration-2.toml",
        "s3": "s3://acme-backups-eu-central-1/hyperpage/2026/11/24/hyperpage-20261124T093000Z-41872.db.zst",
        "arn": "arn:aws:iam::123456789012:role/acme-deploy-production-2026",
        "slug": "how-to-move-ten-thousand-jobs-from-one-queue-to-another-in-2026",
        "long name": "com.example.acme.persistence.configuration.AbstractSingletonProxyFactoryBean2",
        "constant": "HYPERPAGE_ALLOWED_SECRET_PATHS_ARE_LISTED_HERE_2",
        "locale": "sk-SK de-DE-1996 zh-Hant-TW sr-Latn-RS",
        "time": "2026-11-24T09:30:00.123456Z/P1Y2M10DT2H30M",
        "cron": "*/15 0,12 1-15 * MON-FRI",
        "regular expression": "^ghp_[A-Za-z0-9]{36}$|^glpat-[\\w-]{20}$",
        "css": "linear-gradient(90deg, #1a2b3c 0%, #4d5e6f 50%, rgba(255,255,255,0.5) 100%)",
        "sql": "SELECT position, stream FROM events WHERE type = 'job.completed.v1' AND position > 41872",
        "code": "const token = await getToken(); if (!token) throw new Error('no token');",
        "stack trace": 'File "/srv/app/bus/serving/decoding.py", line 93, in _request\n    return verb',
        "markdown": "# Setup\n\n----------\n\n1. `export GITHUB_TOKEN=<your token>`\n2. set `password`",
        "english": "The token bucket refills; what is the secret of a good password? Its length. " * 3,
        "german": "Der Schlüssel zum Erfolg: Fleiß und ein gutes Passwort. Straßenbahnhaltestelle. " * 3,
        "french": "Le mot de passe est oublié ; l'élève où naît la clé d'accès, à côté de l'œuvre. " * 3,
        "polish": "Zażółć gęślą jaźń — hasło dostępu jest tajne, klucz leży pod wycieraczką. " * 3,
        "greek": "Το κλειδί της επιτυχίας είναι η υπομονή και ο κωδικός πρόσβασης. " * 3,
        "russian": "Ключ к успеху — терпение; пароль должен быть длинным и случайным. " * 3,
        "japanese": "パスワードは長くてランダムなものがよい。鍵は机の上にあります。" * 3,
        "chinese": "密码应该又长又随机,密钥放在桌子上。事件存储在一个文件中。" * 3,
        "arabic": "كلمة المرور يجب أن تكون طويلة وعشوائية، والمفتاح على الطاولة. " * 3,
        "hindi": "पासवर्ड लंबा और यादृच्छिक होना चाहिए, चाबी मेज पर है। " * 3,
        "emoji": "🔑 the key 🔒 is 🗝️ under the mat 👩‍👩‍👧‍👦 " * 4,
        "reference": "${env:GITHUB_TOKEN}",
        "bearer of a reference": "Authorization: Bearer ${env:API_TOKEN}",
        "prose about schemes": "Basic information about Bearer tokens: see RFC 6750, section 2.1, RFC7617.",
        "stripe's other ids": f"cus_{make.of(WORD, 14)} price_{make.of(WORD, 24)} pi_{make.of(WORD, 24)}",
        "stripe's public key": "pk_live_" + make.of(WORD, 24),
        "twilio account": "AC" + make.of(HEX, 32),
        "model's answer": f"chatcmpl-{make.of(WORD, 29)} msg_01{make.of(WORD, 22)} req_{make.of(WORD, 24)}",
        "deployment": f"dpl_{make.of(WORD, 28)}",
        "slack ids": f"T{make.of(UPPER, 10)} C{make.of(UPPER, 10)} U{make.of(UPPER, 10)} 1800000000.123456",
        "google ids": f"{make.of(DIGITS, 12)}-{make.of(LOWER, 32)}.apps.googleusercontent.com",
        "drive file": "https://docs.google.com/document/d/1" + make.of(URL_SAFE, 43) + "/edit",
        "video": "https://www.youtube.com/watch?v=" + make.of(URL_SAFE, 11),
        "page": "https://api.example.com/list?page_token=" + make.of(URL_SAFE, 60),
        "kubernetes pod": f"site-{make.of('bcdf2456789', 10)}-{make.of('bcdfghjk', 5)}",
        "job id": f"sync/{make.of(LOWER, 8)}:acme/site@{commit[:12]}",
    }  # fmt: skip
