# Words of the console (English). Japanese: ja.ftl.

brand = Sekimori
brand-sub = Municipal security monitoring
skip = Skip to content
nav = Main pages
nav-overview = Overview
nav-incidents = Incidents
nav-agents = Agents
nav-intake = Intake
live-connecting = Connecting
live-on = Live
live-off = Live updates interrupted
live-arrived = %n new incident(s):
language-other = 日本語
logout = Log out
foot-times = Times are Japan Standard Time; hover over one for UTC.
keys = Keyboard
keys-rows = Next or previous row
keys-open = Open
keys-filter = Go to the filters
close = Close
show-all = Show all
any = Any
never = Never
details = Details
arrived = New
ago-seconds = { $n } s ago
ago-minutes = { $n } min ago
ago-hours = { $n } h ago
ago-days = { $n } d ago
lasting-seconds = { $n } s
lasting-minutes = { $n } min
lasting-hours = { $n } h
lasting-days = { $n } d

login = Log in
login-name = User name
login-password = Password
login-go = Log in
login-wrong = The user name or the password is wrong.
login-too-many = Too many failed logins. Try again in { $n } seconds.
error-back = Back to the overview
error-400 = The input cannot be read
error-400-text = Open the page again and retry.
error-401 = Please log in
error-401-text = The session is over. Log in again.
error-403 = This is not allowed
error-403-text = Your role does not allow it, or the page is out of date. Open the page again.
error-404 = Not found
error-404-text = There is nothing under this address.
error-409 = Somebody was faster
error-409-text = It changed after you opened the page. Look at its present state first.
error-500 = Something went wrong here
error-500-text = The problem is on the collector's side; its log says what it is.
error-503 = Too busy
error-503-text = Try again in a while.

role-reception = Reception
role-monitor = Monitoring analyst
role-tech_support = Technical support
role-control = Incident control
role-body_officer = Municipal handler
role-body_ciso = Municipal CISO
role-pref_csirt = Prefectural CSIRT
role-auditor = Auditor
role-admin = System administrator
severity = Severity
severity-0 = Informational
severity-1 = Low
severity-2 = Medium
severity-3 = High
severity-4 = Critical
severity-at-least = { $n } or worse

overview-title = What needs attention now
overview-sub = Open incidents, and agents to look at
overview-incidents = Open incidents, worst first
overview-agents = Agents needing attention
overview-agents-none = All is well
overview-intake = Intake and refusals
total-incidents = { $n ->
    [one] { $n } incident
   *[other] { $n } incidents
}
total-agents = { $n ->
    [one] { $n } agent
   *[other] { $n } agents
}

incident = Incident
incidents-none = No incidents
subject = Subject
body = Body
state = State
category = Category
findings = Findings
findings-none = No findings
signature = Signature
opened = Opened
updated = Updated
wide-area = Wide area
tag-wide = Wide area, { $n } incidents
tag-child = Part of a wide-area incident
tag-endpoint = Endpoint product
tag-replay = Replay
tag-replay-title = From a capture file, not from a live link
signed = Verified
signed-title = All its evidence is in batches whose signatures were verified on arrival. The detail page verifies them again.
unsigned = No evidence
unsigned-title = A signed batch behind it is missing.
filter = Filter
filter-go = Filter
filter-clear = Clear
query = Query
query-wrong = This query was not used
scope = Scope
scope-open = Open
scope-all = All
order = Order
order-newest = Newest first
order-worst = Worst first
pages = Pages
page-before = Previous
page-after = Next
steps = The six steps
step-detect = Detection
step-respond = First response
step-investigate = Investigation
step-notify = Notification
step-recover = Recovery
step-review = Review
step-done = (done)
next-action = Next action
owner = Owed by
acknowledge = Acknowledge
acknowledge-not = Your role cannot acknowledge
reason = Why it was opened
reason-formula = Rule
reason-inputs = Measured
reason-threshold = Threshold
reason-baseline = Baseline
reason-flows = Sample flows (Community ID)
children = Incidents of the bodies
degraded = Packets were lost
excepted = Exception
finding-time = Observed
originator = Originator
responder = Responder
targets = Targets
ports = Ports
finding-weight = Weight
confidence = Confidence
observations = { $n ->
    [one] { $n } observation
   *[other] { $n } observations
}
segment = Segment
batch = Batch
linked-by = Linked by
alerts = Endpoint alerts
time = Time
product = Product
alert-name = What it said
endpoint = Endpoint
action-taken = Action
original = Original
flows = Flows around it
flows-sub = Same Community IDs as the sample flows
flows-none = No flow records yet
protocol = Protocol
server-name = Server name
packets = Packets
volume = Volume
flow-state = Connection
facts = Facts
evidence-time = Evidence from
parent = Wide-area incident
playbook = First response
playbook-sub = ★ mandatory
mandatory = mandatory
batches = Signed batches
batches-sub = The stored envelopes are verified again with the enrolled key every time this page is shown.
chain = Chain
epoch = Epoch
seq = Seq
timeline = Timeline

next-detected = Look at it and acknowledge it
next-received = Triage: category, impact, urgency
next-triaged = Choose the procedure and start the first response
next-containing = Finish the mandatory steps; preserve the evidence
next-investigating = Establish vector, scope and period
next-notifying = Check the obligations; notify and report
next-recovering = Recover; see it stable for 15 minutes
next-post_review = Write down the cause and the prevention
next-observing = Watch for a recurrence
next-closed = None (closed)
next-false_positive = None (false positive)
next-merged = Work on the incident that it was merged into
owner-detected = Reception, monitoring analyst
owner-received = Monitoring analyst
owner-triaged = Monitoring analyst, municipal handler
owner-containing = Municipal handler, technical support
owner-investigating = Technical support
owner-notifying = Municipal handler, municipal CISO
owner-recovering = Municipal handler
owner-post_review = Incident control, municipal CISO
owner-observing = Monitoring analyst
owner-closed = –
owner-false_positive = –
owner-merged = Whoever owns that incident

check-good = Signature verified
check-bad-signature = Signature does not fit
check-other-batch = Signed, but another batch
check-broken-chain = Does not continue the batch before
check-none = Nothing to verify
check-not-here = Not verified on this page
check-finding-good = Signature verified
check-finding-differs = Differs from what was signed
check-all-good = Signatures verified ({ $n ->
    [one] { $n } batch
   *[other] { $n } batches
})
check-some-bad = { $n ->
    [one] { $n } batch
   *[other] { $n } batches
} cannot be verified

change-opened = Opened
change-finding = Finding added
change-revised = Finding revised
change-raised = Severity raised
change-excepted = A finding came under an exception (nothing changed)
change-linked = Joined a wide-area incident
change-child = Incident of a body joined
change-related = Linked with another incident
change-certificate = A certificate comes closer to its end
change-acknowledged = Acknowledged
change-timer = Time limit
change-obligation = Reports

agent = Agent
agents-none = No agents enrolled
held = Enrolments that wait
held-sub = Compare the identifier with the one that the gateway shows, then confirm
held-follows = Would follow
held-itself = itself: it has delivered before
held-ends = which is revoked then
held-since = Asked first
held-confirmed = Confirmed; it has not come back yet
held-confirm = Confirm
held-waits = Waits for confirmation
swap = Exchange of the CA and the key for acknowledgements
swap-followed = { $n ->
    [one] { $n } agent follows
   *[other] { $n } agents follow
}
swap-behind = Not followed yet
swap-all = Every agent follows: the exchange can be finished
renewals-due = Certificates that should have been renewed
renewals-due-sub = Agents renew theirs before two thirds of its life are over
agent-state = State
agent-identity = Identity
agent-id = Identifier (hash of its key)
agent-chain = Chain received
last-seen = Last seen
version = Version
enrolled = Enrolled
certificate-until = Certificate until
revoked = Revoked
through = Received through
head-digest = Head digest
sealed = Sealed (agent's clock)
health = Health
health-none = No health record yet
uptime = Uptime
load = Load
memory = Memory
spool = Spool
disk-free = Free disk
batches-n = { $n ->
    [one] { $n } batch
   *[other] { $n } batches
}
drops = Drops
config-digest = Configuration digest
interface = Interface
link = Link
link-up = Up
link-down = Down
counters = Counters
counters-sub = Everything not looked at is counted, by reason
counters-n = { $n ->
    [one] { $n } counter
   *[other] { $n } counters
}
attention-nothing = Well
attention-revoked = Revoked
attention-never-seen = Never seen since enrolment
attention-replayed = Replay, ended
attention-silent = Silent for over 90 s
attention-drops = { $n ->
    [one] { $n } packet dropped
   *[other] { $n } packets dropped
}
attention-intel-unread = { $n ->
    [one] { $n } threat list unread
   *[other] { $n } threat lists unread
}
attention-intel-refused = New threat lists refused
attention-intel-shrunk = { $n ->
    [one] { $n } threat feed shrank
   *[other] { $n } threat feeds shrank
}
attention-intel-stale = { $n ->
    [one] { $n } threat feed out of date
   *[other] { $n } threat feeds out of date
}
attention-certificate = Certificate ends soon

intake-sub = What came in, what was refused, who could not connect
turned = Turned away
turned-sub = TLS failures by address, refusals by agent
turned-none = Nobody was turned away
peer = Peer
refusal = Reason
count = Count
last-time = Last
detail = Detail
counter = Counter
counter-batches_stored = Batches stored
counter-batches_repeated = Batches repeated (stored once)
counter-refused = Submissions refused
counter-refused-kind = Refused: { $n }
counter-findings_stored = Findings stored
counter-findings_excepted = Findings under an exception
counter-findings_excepted_here = Exceptions: judged by the collector
counter-findings_excepted_unknown = Exceptions: judged by agents, unknown to the collector
counter-findings_no_longer_excepted = Findings no longer under an exception
counter-exceptions_overruled = Exceptions of agents that were overruled
counter-incidents_opened = Incidents opened
counter-batches_early = Batches that came too early
counter-gaps_declared = Gaps declared by agents
counter-records_unknown = Records unknown to this version
reason-values = Evidence
counter-tls-failed = TLS handshakes failed
refusal-tls = TLS failed
refusal-malformed = Malformed
refusal-not_enrolled = Not enrolled
refusal-wrong_key = Wrong key
refusal-forked = Forked history
refusal-too_large = Too large
refusal-busy = Busy
refusal-other = Other

## Exceptions
nav-exceptions = Exceptions
exceptions-sub = Who accepted what, why, and until when. What they cover is stored and counted all the same
exceptions-here = Exceptions of the collector
exceptions-none = There are no exceptions
exceptions-broken = The files of exceptions cannot be used; those read before stay in force
exceptions-unknown = Exceptions that only agents know
exceptions-unknown-sub = The collector has none of that name and cannot vouch for them
exceptions-unknown-none = None
exception-left = Time left
exception-days = { $n ->
    [one] { $n } day left
   *[other] { $n } days left
}
exception-ended = Ended
exception-why = Reason and owner
exception-scope = Scope
exception-until = until
exception-covers = covers it, as the collector judged
exception-unknown = as the agent judged; unknown to the collector
exception-overruled-ended = agent overruled: it has ended
exception-overruled-unknown = agent overruled: unknown to the collector
exception-overruled-outside = agent overruled: outside its scope
excepted-findings = Findings under an exception
excepted-findings-sub = In no incident; newest first
excepted-beside = Findings about the same subject under an exception
excepted-beside-sub = Not part of this incident
overview-exceptions = Exceptions that end soon

## Policies
nav-policies = Policies
policies-sub = What is decided and signed here for agents
policies-here = Policies kept
policies-none = No policy was set
policies-agents = What agents have
policies-agents-sub = The version in force, and the one that should be
policy = Policy (has / newest)
policy-for = For
policy-set-at = Set
policy-file = File
policy-show = Show
policy-has = In force
policy-wanted = Newest
policy-holds = Holds
policy-withdrawn = Withdrawn
policy-current = Current
policy-behind = Not applied
clock = Clock offset
configuration = Configuration, intelligence
intel-version = Version of threat intelligence
through-detail = Detail lane (epoch / through)
attention-degraded = Does not see well
attention-policy = Policy not applied
attention-clock = { $n ->
    [one] Clock off by { $n } second
   *[other] Clock off by { $n } seconds
}
change-sensor_worse = The sensor got worse
change-sensor_back = The sensor is back

## Accounts and sign-in
login-code = Confirmation code
login-code-sub = Enter the six digits that your authenticator shows. Without it, enter one of your recovery codes.
login-code-wrong = The code is wrong or was used before.
login-again = Start again
code = Code
authenticator = Authenticator
authenticator-sub = Besides the password, this account needs an authenticator (TOTP). Enter this secret into yours, then the six digits that it shows.
authenticator-secret = Secret
authenticator-uri = Address to open
authenticator-kind = Kind
authenticator-kind-text = Time-based (TOTP), SHA-1, six digits, 30 seconds
authenticator-go = Confirm
authenticator-there = Set up
authenticator-none = None
authenticator-new = Set up another authenticator
recovery = Recovery codes
recovery-sub = For when the authenticator is lost; each is good once. They are shown here and never again. Print them and keep them safe.
recovery-go = They are kept; continue
recovery-left = Recovery codes left
account = Account
account-role = Role
account-password-at = Password set
account-sessions = Signed in
account-end-all = Sign out everywhere
account-end = Sign out
account-this = This one
account-began = Began
account-used = Last used
account-address = Address
account-sign-ins = Sign-ins
account-outcome = Outcome
account-tokens = API tokens
account-label = Label
account-right = Right
account-ends = Ends
bodies-all = All bodies
sign-in-in = Signed in
sign-in-halfway = Password accepted
sign-in-wrong = Failed
sign-in-replayed = Failed (a used code)
sign-in-out = Signed out
sign-in-by-password = password
sign-in-by-code = code
sign-in-by-recovery = recovery code
sign-in-by-basic = API, password
password-new = Change the password
password-rules = At least 12 characters; not a well-known one, not with the user name in it, not a few characters repeated. A change signs out everywhere else.
password-current = Present password
password-next = New password
password-again = New password, again
password-set = Change
password-wrong = The present password is wrong.
password-differs = The new password is not the same twice.
password-short = A password has at least 12 characters.
password-long = The password is too long (at most 256 bytes).
password-monotonous = The password repeats too few characters.
password-name = The password must not hold the user name.
password-known = This is a well-known password. Choose another.

## Work
work = Work
work-missing = Missing
work-reason = Reason
proposals = Proposals that wait
approve = Approve
reject = Reject
take-back = Take back
proposes = (needs approval)
triage = Triage
cause = Cause
evidence-what = What is preserved, and where
save = Save
eta-until = Done by (Japan time)
investigation = Investigation
unknown-because = If unknown: why
review = Review
review-findings = What went well, what did not
prevention-what = Measure
due = Due
lesson = Lesson
note = Add a note
tasks = Tasks
task-note = Result
task-done = Done
task-waive = Waive
task-waived = Waived
similar = Similar incidents of the past
merged-here = Merged into this one
because-category = same category
because-indicator = same indicator
because-subject = same subject
because-root_cause = same root cause
because-body = same body
because-cause = same cause
missing-playbook = A playbook
missing-evidence-preserved = The evidence is preserved
missing-investigation-vector = How it came in
missing-investigation-assets = Systems affected
missing-investigation-scope = How far it went
missing-investigation-period = From when until when
missing-investigation-accounts = Accounts used
missing-investigation-evidence = Evidence
missing-eta = Estimated time of completion
missing-probes-green = All probes are well
missing-probes-green-15-minutes = Well for 15 minutes
missing-publication = A decision about publication
missing-publication-approved = Approval of the publication
missing-review-held-on = Day of the review
missing-review-attendees = Attendees (one in a line)
missing-review-whys = Why (one in a line, five times)
missing-review-root-cause = Root cause
missing-review-prevention = Prevention (owner and due date)
missing-reason = A reason
missing-text = The text
missing-owner = Owner
missing-category = Category
missing-impact = Impact
missing-urgency = Urgency
missing-hurts = What is hurt (C/I/A)
missing-leak-class = Class of leak
missing-observed-7-days = Observed for seven days
missing-level-below-medium = A level of at most L1
missing-until-in-the-future = A time in the future
missing-proposal-not-pending-already = The same proposal waits already
action-acknowledge = Acknowledge
action-triage = Triage
action-set_level = Change the level
action-assign = Assign
action-start = Start the first response
action-investigate = Go on to the investigation
action-notify = Go on to notices and reports
action-recover = Go on to recovery
action-finish = Confirm the recovery
action-close = Close
action-expire = End the observation
action-reopen = Reopen the investigation
action-back = Step back
action-observe = Put under observation
action-recur = It recurs
action-false_positive = False positive
action-merge = Merge
action-unmerge = Undo the merge
action-split = Split
action-waive_task = Waive a task
action-publication = Decide on publication
action-approve_publication = Approve the publication
action-activate_control = Activate incident control
action-evidence_capture = Capture evidence (pcap)
action-unmask = Unmask
action-suppress = Suppression rule
action-share = Share with others
change-moved = Moved
change-recorded = Recorded
change-note = A note was added
change-proposed = Proposed
change-approved = A proposal was approved
change-rejected = A proposal was rejected
change-absorbed = Another incident was merged into it
change-released = A merge into it was undone
error-422 = Something is missing
error-422-text = Fill in what is missing and try again.
leak = Leak
leak-items = Kinds of items (one in a line)
leak-least = People, at least
leak-most = People, at most
leak-confirmed = The number is final
leak-encrypted = Strongly encrypted
leak-notice = Notice to the people concerned
yes = Yes
no = No
publication = Publication
publication-publish = It will be published
publication-when = When
publication-media = Where (one in a line)
publication-spokesperson = Spokesperson
publication-text = The text
vendor = Expert or vendor
vendor-name = Name
vendor-contract = Contract
vendor-nda = Promise of confidence
vendor-from = From
vendor-what = What for
merge-into = Into which incident
mentioned = Others speak of it already
mentioned-where = Where

change-storm = Storm: told and gathered
grouped-by = Grouped by (body, category, subject) and rule
linked-with = Linked with
opened-by-rule = Opened by this rule
# Export
export = Export
export-sub = For other organisations and SIEMs; it is logged
export-csv = CSV
# Search
nav-search = Search
search-sub = Stored flow summaries, findings and endpoint alerts, newest first. Every search is written to the audit log.
search-kind = What
search-flows = Flow summaries
search-findings = Findings
search-alerts = Endpoint alerts
search-example = address:10.1.0.0/16 port:443 bytes>10M
search-from = From
search-to = Until
search-go = Search
search-found = What was found
search-none = Nothing matches.
search-what = What
search-first = Newest
search-too-slow = The search took too long. Ask for less time (from, until), or name an address, a port or a body.
search-wrong-from = “From” needs a time such as 2026-11-22, 2026-11-22T10:30 or -24h.
search-wrong-to = “Until” needs a time such as 2026-11-22, 2026-11-22T10:30 or -24h.
search-wrong-place = This link does not lead anywhere: search again.
search-fields = How to ask
search-help = Conditions side by side must all hold; “or”, brackets and a minus for “not” are understood. Several values with commas, ranges with “..”, * and ? as wildcards. The fields, with their other names:
search-around = Search its flows
search-around-findings = Search its findings
## Managing accounts, certificates, identity providers
accounts = Accounts
accounts-sub = Roles, bodies, and ways to sign in. Accounts are disabled, never deleted
accounts-since = Made
accounts-enabled = Enabled
accounts-disabled = Disabled
accounts-scope = Bodies (all, or codes with commas between them)
accounts-set-rights = Change role and bodies
accounts-enable = Enable again
accounts-disable = Disable
accounts-reset-totp = Forget the authenticator
accounts-new-password = Make a new password
accounts-secret = This password is shown once. Hand it over safely.
accounts-certificates = Client certificates
accounts-revoke = Revoke
accounts-subject = Subject at the identity provider (sub)
accounts-link = Link
accounts-unlink = Unlink
accounts-new = New account
accounts-new-sub = The first password is made and shown once.
accounts-make = Make the account
accounts-failures = { $n ->
    [one] { $n } failure in a row
   *[other] { $n } failures in a row
}
accounts-waits = waits { $n } s
accounts-self = Nobody changes their own rights.
accounts-bad-name = A name has 1 to 64 bytes of visible text.
accounts-bad-role = There is no such role.
accounts-bad-scope = These bodies cannot be set. { $n }
accounts-taken = There is an account of this name.
accounts-none = There is no such account or action.
accounts-nothing = There is nothing to change.
accounts-no-provider = No identity provider ([oidc]) is configured.
accounts-bad-subject = A subject has 1 to 255 bytes.
login-certificate = Sign in with the certificate
login-certificate-refused = Nobody can sign in with this certificate.
login-oidc = Sign in with { $n }
oidc-away = The identity provider cannot be used at the moment. Try again later.
oidc-refused = The sign-in at the identity provider could not be confirmed.
oidc-unlinked = The subject “{ $n }” of the identity provider is linked to no account. Tell the administrator.
oidc-disabled = This account is disabled.
oidc-go-on = Continue
authenticator-qr = QR code for your authenticator
sign-in-locked = Refused, had to wait
sign-in-refused = Refused
sign-in-by-certificate = certificate
sign-in-by-oidc = identity provider
