//! Addresses: which host, which repository, which pull request (spec 4.1, 4.2; issue "PR URL parsing").
//!
//! An address comes from an agent, so it is read strictly. It only ever *selects* one of the
//! configured hosts; where requests and tokens go is decided by the configuration alone.

use std::fmt;
use std::hash::{Hash, Hasher};

use http::Uri;

use crate::error::Error;

/// The longest address that is looked at; longer ones are not GitHub's.
const URL_BYTES_MAX: usize = 2048;
/// The longest owner: 39 characters, and an underscore with a short code for managed users.
const OWNER_BYTES_MAX: usize = 64;
/// The longest repository name that GitHub accepts.
const REPOSITORY_BYTES_MAX: usize = 100;

/// Why an address cannot be used.
///
/// It never quotes the address: the part before an `@` may be a password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UrlFault {
    /// It is longer than any address of GitHub, or has characters that no address of GitHub has.
    #[error("it is too long or holds characters that an address cannot hold")]
    Malformed,
    /// It does not begin with `https://` (or, for a repository, one of git's ssh forms).
    #[error("it must begin with https://")]
    Scheme,
    /// It names a user or a password before the host.
    #[error("it must not name a user or a password")]
    UserInfo,
    /// Its host is not one of the configured ones.
    #[error("the host {host} is not allowed")]
    HostNotAllowed {
        /// The host as given, in lower case, with its port if it has one.
        host: String,
    },
    /// It carries a port that is not configured.
    #[error("it must not name a port")]
    Port,
    /// It has another shape than `/owner/repository/pull/number`, or `/owner/repository`.
    #[error("its path has another shape than expected")]
    Path,
    /// Its owner cannot be the name of a user or an organisation.
    #[error("its owner is not a possible name")]
    Owner,
    /// Its repository cannot be the name of a repository.
    #[error("its repository is not a possible name")]
    Repository,
    /// Its number is not a positive number without leading zeros.
    #[error("its number is not a pull request number")]
    Number,
}

/// A repository as `owner/name`. Two are equal whatever their letter case, as on GitHub.
///
/// ```
/// use gastown_github::url::RepositoryName;
/// let a = RepositoryName::parse("Octo-Org/Hello.World").unwrap();
/// assert_eq!(a, RepositoryName::parse("octo-org/hello.world").unwrap());
/// assert_eq!(a.to_string(), "Octo-Org/Hello.World");
/// ```
#[derive(Clone)]
pub struct RepositoryName {
    owner: String,
    name: String,
}

impl RepositoryName {
    /// Checks both parts.
    ///
    /// # Errors
    /// [`Error::ParseRepositoryUrl`] if one of them is no possible name.
    pub fn new(owner: &str, name: &str) -> Result<Self, Error> {
        checked_name(owner, name).map_err(|why| Error::ParseRepositoryUrl { why })
    }

    /// Reads `owner/name`.
    ///
    /// # Errors
    /// [`Error::ParseRepositoryUrl`] if it has another shape.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let (owner, name) = text.split_once('/').ok_or(Error::ParseRepositoryUrl {
            why: UrlFault::Path,
        })?;
        Self::new(owner, name)
    }

    /// The user or organisation that owns it, as written.
    #[must_use]
    pub fn owner(&self) -> &str {
        &self.owner
    }

    /// The name without the owner, as written.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl PartialEq for RepositoryName {
    fn eq(&self, other: &Self) -> bool {
        self.owner.eq_ignore_ascii_case(&other.owner) && self.name.eq_ignore_ascii_case(&other.name)
    }
}

impl Eq for RepositoryName {}

impl Hash for RepositoryName {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.owner.to_ascii_lowercase().hash(state);
        self.name.to_ascii_lowercase().hash(state);
    }
}

impl PartialOrd for RepositoryName {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for RepositoryName {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        let key = |it: &Self| (it.owner.to_ascii_lowercase(), it.name.to_ascii_lowercase());
        key(self).cmp(&key(other))
    }
}

impl fmt::Display for RepositoryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.owner, self.name)
    }
}

impl fmt::Debug for RepositoryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Which product answers at a host; decides which endpoints may be expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Product {
    /// github.com.
    Dotcom,
    /// GitHub Enterprise Cloud with data residency, `SUBDOMAIN.ghe.com`.
    DataResidency,
    /// GitHub Enterprise Server: older, without asynchronous merges and with fewer fields.
    EnterpriseServer,
}

/// A host that may be talked to, and where its two APIs are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForgeHost {
    web: String,
    product: Product,
    rest: String,
    graphql: String,
}

impl ForgeHost {
    /// github.com with `https://api.github.com`.
    #[must_use]
    pub fn github_com() -> Self {
        Self {
            web: "github.com".to_owned(),
            product: Product::Dotcom,
            rest: "https://api.github.com".to_owned(),
            graphql: "https://api.github.com/graphql".to_owned(),
        }
    }

    /// The host of that name, with the API addresses that follow from it: github.com,
    /// `SUBDOMAIN.ghe.com` with `https://api.SUBDOMAIN.ghe.com`, and any other as an Enterprise
    /// Server with `https://HOST/api/v3` and `https://HOST/api/graphql`. A port is part of the
    /// name and thereby allowed.
    ///
    /// # Errors
    /// [`Error::ConfigureHost`] if it is no host name.
    pub fn named(host: &str) -> Result<Self, Error> {
        let web = checked_host(host)?;
        if web == "github.com" {
            return Ok(Self::github_com());
        }
        let (product, rest, graphql) = if web.ends_with(".ghe.com") {
            let api = format!("https://api.{web}");
            (
                Product::DataResidency,
                api.clone(),
                format!("{api}/graphql"),
            )
        } else {
            let api = format!("https://{web}/api");
            (
                Product::EnterpriseServer,
                format!("{api}/v3"),
                format!("{api}/graphql"),
            )
        };
        Ok(Self {
            web,
            product,
            rest,
            graphql,
        })
    }

    /// A host whose APIs are somewhere else: behind a proxy, or a double on loopback. Plain
    /// `http` is accepted for loopback addresses only.
    ///
    /// # Errors
    /// [`Error::ConfigureHost`] if the name or an address is malformed, if an address is not
    /// encrypted, or if the two APIs are not of one origin.
    pub fn with_api(web: &str, product: Product, rest: &str, graphql: &str) -> Result<Self, Error> {
        let web = checked_host(web)?;
        let rest = rest.trim_end_matches('/').to_owned();
        let graphql = graphql.trim_end_matches('/').to_owned();
        let origin = api_origin(&rest).map_err(|why| Error::ConfigureHost { why })?;
        let other = api_origin(&graphql).map_err(|why| Error::ConfigureHost { why })?;
        if origin != other {
            // A token must have exactly one place to go to.
            return Err(Error::ConfigureHost {
                why: UrlFault::HostNotAllowed { host: other },
            });
        }
        Ok(Self {
            web,
            product,
            rest,
            graphql,
        })
    }

    /// The host as it stands in addresses for people, in lower case, with its port if it has one.
    #[must_use]
    pub fn web(&self) -> &str {
        &self.web
    }

    /// Which product answers there.
    #[must_use]
    pub fn product(&self) -> Product {
        self.product
    }

    /// The base of REST addresses, without a slash at the end.
    #[must_use]
    pub fn rest(&self) -> &str {
        &self.rest
    }

    /// The address of GraphQL.
    #[must_use]
    pub fn graphql(&self) -> &str {
        &self.graphql
    }

    /// Whether a request to this address may carry this host's token: same scheme, host and port
    /// as the API.
    #[must_use]
    pub fn owns(&self, uri: &Uri) -> bool {
        origin_of(uri).is_some_and(|it| api_origin(&self.rest) == Ok(it))
    }
}

/// A pull request, found on one of the allowed hosts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PullRequestUrl {
    /// The host that it is on.
    pub host: ForgeHost,
    /// The repository that it asks to be merged into.
    pub repository: RepositoryName,
    /// Its number there.
    pub number: u64,
}

/// A repository, found on one of the allowed hosts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepositoryUrl {
    /// The host that it is on.
    pub host: ForgeHost,
    /// The repository.
    pub repository: RepositoryName,
}

/// The hosts that may be talked to. Nothing else ever receives a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowedHosts {
    hosts: Vec<ForgeHost>,
}

impl Default for AllowedHosts {
    /// github.com alone.
    fn default() -> Self {
        Self::new([ForgeHost::github_com()])
    }
}

impl AllowedHosts {
    /// Exactly these; of two with one name the first counts.
    pub fn new(hosts: impl IntoIterator<Item = ForgeHost>) -> Self {
        Self {
            hosts: hosts.into_iter().collect(),
        }
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &ForgeHost> {
        self.hosts.iter()
    }

    /// The host of that name, if it is allowed.
    #[must_use]
    pub fn find(&self, host: &str) -> Option<&ForgeHost> {
        self.hosts
            .iter()
            .find(|it| it.web.eq_ignore_ascii_case(host))
    }

    /// Reads `https://HOST/OWNER/REPOSITORY/pull/NUMBER`, with or without one slash at the end.
    ///
    /// # Errors
    /// [`Error::ParsePullRequestUrl`] with what is wrong. A host that is not allowed is told
    /// apart from a malformed address, because they are different poll errors (spec 4.2).
    pub fn pull_request(&self, text: &str) -> Result<PullRequestUrl, Error> {
        self.parse_pull_request(text)
            .map_err(|why| Error::ParsePullRequestUrl { why })
    }

    /// Reads what git accepts for a repository: `https://HOST/OWNER/REPOSITORY`,
    /// `git@HOST:OWNER/REPOSITORY`, `ssh://git@HOST/OWNER/REPOSITORY`, each with or without
    /// `.git`.
    ///
    /// # Errors
    /// [`Error::ParseRepositoryUrl`] with what is wrong.
    pub fn repository(&self, text: &str) -> Result<RepositoryUrl, Error> {
        self.parse_repository(text)
            .map_err(|why| Error::ParseRepositoryUrl { why })
    }

    fn parse_pull_request(&self, text: &str) -> Result<PullRequestUrl, UrlFault> {
        let text = plain(text)?;
        let rest = strip_scheme(text, "https://").ok_or(UrlFault::Scheme)?;
        let (host, path) = self.split_host(rest)?;
        let path = path.strip_suffix('/').unwrap_or(path);
        let mut parts = path.split('/');
        let (owner, name) = (parts.next(), parts.next());
        let (kind, number) = (parts.next(), parts.next());
        match (owner, name, kind, number, parts.next()) {
            (Some(owner), Some(name), Some("pull"), Some(number), None) => Ok(PullRequestUrl {
                host,
                repository: checked_name(owner, name)?,
                number: checked_number(number)?,
            }),
            _ => Err(UrlFault::Path),
        }
    }

    fn parse_repository(&self, text: &str) -> Result<RepositoryUrl, UrlFault> {
        let text = plain(text)?;
        let scp_form: String;
        let rest = if let Some(rest) = strip_scheme(text, "https://") {
            rest
        } else if let Some(rest) = strip_scheme(text, "ssh://") {
            rest.strip_prefix("git@").ok_or(UrlFault::UserInfo)?
        } else if let Some(rest) = text.strip_prefix("git@") {
            // git's short form writes a colon where an address has the first slash.
            scp_form = rest.replacen(':', "/", 1);
            &scp_form
        } else {
            return Err(UrlFault::Scheme);
        };
        let (host, path) = self.split_host(rest)?;
        let path = path.strip_suffix('/').unwrap_or(path);
        let path = path.strip_suffix(".git").unwrap_or(path);
        let (owner, name) = path.split_once('/').ok_or(UrlFault::Path)?;
        if name.contains('/') {
            return Err(UrlFault::Path);
        }
        Ok(RepositoryUrl {
            host,
            repository: checked_name(owner, name)?,
        })
    }

    fn split_host<'a>(&self, rest: &'a str) -> Result<(ForgeHost, &'a str), UrlFault> {
        let (authority, path) = rest.split_once('/').ok_or(UrlFault::Path)?;
        if authority.contains('@') {
            return Err(UrlFault::UserInfo);
        }
        match self.find(authority) {
            Some(host) => Ok((host.clone(), path)),
            // The right host with an unexpected port is a different fault than a foreign host.
            None => match authority.split_once(':') {
                Some((host, _)) if self.find(host).is_some() => Err(UrlFault::Port),
                Some(_) | None => Err(UrlFault::HostNotAllowed {
                    host: authority.to_ascii_lowercase(),
                }),
            },
        }
    }
}

/// A path segment with everything escaped that is not plainly a letter, digit, `-`, `.`, `_` or
/// `~`; a slash becomes `%2F`, as GitHub asks.
#[must_use]
pub fn encode_segment(segment: &str) -> String {
    encode(segment, false)
}

/// A path of which the slashes stay; for the one endpoint that wants a branch unescaped.
#[must_use]
pub fn encode_path(path: &str) -> String {
    encode(path, true)
}

fn encode(text: &str, keep_slashes: bool) -> String {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let hex = |nibble: u8| {
        HEX.get(usize::from(nibble))
            .copied()
            .map_or('0', char::from)
    };
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        let plain = byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        if plain || (keep_slashes && byte == b'/') {
            out.push(char::from(byte));
        } else {
            out.extend(['%', hex(byte >> 4), hex(byte & 0x0f)]);
        }
    }
    out
}

/// `scheme://host:port` of an absolute address, in lower case, the port always written.
pub(crate) fn origin_of(uri: &Uri) -> Option<String> {
    let scheme = uri.scheme_str()?.to_ascii_lowercase();
    let host = uri.host()?.to_ascii_lowercase();
    let port = uri.port_u16().or(match scheme.as_str() {
        "https" => Some(443),
        "http" => Some(80),
        _ => None,
    })?;
    Some(format!("{scheme}://{host}:{port}"))
}

fn api_origin(address: &str) -> Result<String, UrlFault> {
    let uri: Uri = address.parse().map_err(|_| UrlFault::Malformed)?;
    if uri.authority().is_some_and(|it| it.as_str().contains('@')) {
        return Err(UrlFault::UserInfo);
    }
    let loopback = matches!(uri.host(), Some("127.0.0.1" | "localhost" | "[::1]"));
    match uri.scheme_str() {
        Some("https") => {}
        Some("http") if loopback => {}
        Some(_) | None => return Err(UrlFault::Scheme),
    }
    origin_of(&uri).ok_or(UrlFault::Malformed)
}

fn plain(text: &str) -> Result<&str, UrlFault> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:/@".contains(&byte);
    // No query, no fragment, no escapes, no blanks: GitHub needs none of them here, and each is
    // a way to make an address look like another one.
    if text.len() <= URL_BYTES_MAX && text.bytes().all(plain) {
        Ok(text)
    } else if text.contains('@') {
        Err(UrlFault::UserInfo)
    } else {
        Err(UrlFault::Malformed)
    }
}

fn strip_scheme<'a>(text: &'a str, scheme: &str) -> Option<&'a str> {
    let head = text.get(..scheme.len())?;
    head.eq_ignore_ascii_case(scheme)
        .then(|| text.get(scheme.len()..))
        .flatten()
}

fn checked_host(host: &str) -> Result<String, Error> {
    let fault = |why| Error::ConfigureHost { why };
    let host = plain(host).map_err(fault)?.to_ascii_lowercase();
    if host.contains('@') {
        return Err(fault(UrlFault::UserInfo));
    }
    let (name, port) = host.split_once(':').unwrap_or((&host, "443"));
    let labels = name.split('.').all(|it| {
        !it.is_empty()
            && !it.starts_with('-')
            && it
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    });
    if !labels {
        return Err(fault(UrlFault::Malformed));
    }
    if port.parse::<u16>().is_ok_and(|it| it > 0) {
        Ok(host)
    } else {
        Err(fault(UrlFault::Port))
    }
}

fn checked_name(owner: &str, name: &str) -> Result<RepositoryName, UrlFault> {
    let owner_byte = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    let name_byte = |byte: u8| owner_byte(byte) || byte == b'.';
    let owner_fits = !owner.is_empty()
        && owner.len() <= OWNER_BYTES_MAX
        && !owner.starts_with('-')
        && owner.bytes().all(owner_byte);
    if !owner_fits {
        return Err(UrlFault::Owner);
    }
    let name_fits = !matches!(name, "" | "." | "..")
        && name.len() <= REPOSITORY_BYTES_MAX
        && name.bytes().all(name_byte);
    if !name_fits {
        return Err(UrlFault::Repository);
    }
    Ok(RepositoryName {
        owner: owner.to_owned(),
        name: name.to_owned(),
    })
}

fn checked_number(text: &str) -> Result<u64, UrlFault> {
    let digits = !text.starts_with('0') && text.bytes().all(|it| it.is_ascii_digit());
    if !digits {
        return Err(UrlFault::Number);
    }
    // GraphQL types the number as a 32 bit Int; a larger one cannot exist.
    text.parse::<u64>()
        .ok()
        .filter(|it| *it <= i32::MAX as u64)
        .ok_or(UrlFault::Number)
}

#[cfg(test)]
mod tests;
