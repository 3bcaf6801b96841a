# SPDX-License-Identifier: MIT
"""The hub itself: metadata API, resolve and raw, and the signed second host with the LFS bytes."""

import base64
import gzip
import hashlib
import hmac
import json
import os
import time
from pathlib import Path
from urllib.parse import parse_qsl, quote, urlencode

from hub_http import (Content, Reply, error_reply, json_reply, not_modified, redirect_reply, serve,
                      text_reply)
from hub_repos import COMMIT_DATE, xet_hash

_ACTIONS = {"revision", "tree", "paths-info", "refs", "commits", "auth-check", "xet-read-token"}
_PAGES = {"resolve", "raw", "blob", "tree"}
_TEXT = (".json", ".txt", ".md", ".yaml", ".yml", ".py", ".jinja", ".gitattributes", ".model_card")
_SECRET = b"loopback-hub-signing-key"
ACCOUNT_TOKEN = "hf_loopback_reader"  # a valid account that no gated or private repo admits


class ApiError(Exception):
    """Ends the handling of a request with this reply."""

    def __init__(self, reply):
        super().__init__(reply.status)
        self.reply = reply


def _fail(status, message, code=None, headers=()):
    raise ApiError(error_reply(status, message, code, headers))


def _split_revision(segments):
    """Separate a revision from the path behind it; refs/pr/1 may also arrive unquoted."""
    if segments and segments[0] == "refs" and len(segments) >= 3:
        return "/".join(segments[:3]), "/".join(segments[3:])
    return (segments[0] if segments else "main"), "/".join(segments[1:])


def _content_of(entry, etag):
    return Content(etag, entry.mtime, path=entry.path, size=entry.size)


class Hub:
    """Routes of the first origin (`hub`) and the second (`cdn`)."""

    def __init__(self, tree, options):
        self.tree = tree
        self.options = options
        self.base = {"hub": "", "cdn": ""}  # filled in by the server once the ports are known

    def route(self, request):
        try:
            if request.path.startswith("/files/"):
                return self._plain_file(request)
            if request.host == "cdn":
                return self._cdn(request)
            return self._hub(request)
        except ApiError as error:
            return error.reply

    # ---- routing of the first origin -------------------------------------------------------

    def _hub(self, request):
        self._check_token(request)
        seg = request.segments
        if seg[:2] == ["api", "whoami-v2"]:
            return self._whoami(request)
        if seg[:2] == ["api", "models"]:
            return self._api(request, seg[2:])
        if seg[:3] == ["api", "resolve-cache", "models"]:
            return self._resolve_cache(request, seg[3:])
        if seg[0] in ("api", "datasets", "spaces"):
            self._missing_repo(request)
        for at in (1, 2):
            if len(seg) > at + 1 and seg[at] in _PAGES:
                return self._files_of_repo(request, "/".join(seg[:at]), seg[at], seg[at + 1:])
        return self._page(request, "/".join(seg[:2]))

    def _check_token(self, request):
        token = request.token
        if token is not None and token != ACCOUNT_TOKEN and token not in self.tree.tokens():
            _fail(401, "Invalid credentials in Authorization header")

    def _whoami(self, request):
        if request.token is None:
            _fail(401, "Invalid username or password.")
        name = hashlib.sha1(request.token.encode()).hexdigest()[:8]
        return json_reply({"type": "user", "id": name.ljust(24, "0"), "name": f"user-{name}",
                           "fullname": "Loopback User", "isPro": False, "orgs": [],
                           "auth": {"type": "access_token", "accessToken": {
                               "displayName": "test", "role": "read", "createdAt": COMMIT_DATE}}})

    def _missing_repo(self, request):
        """Missing and private look alike; the Hub says 401 to strangers and 404 to accounts."""
        if request.token is None:
            code = None if self.options["bare_401"] else "RepoNotFound"
            _fail(401, "Invalid username or password.", code,
                  [("WWW-Authenticate", 'Bearer realm="Authentication required", charset="UTF-8"')])
        _fail(404, "Repository not found", "RepoNotFound")

    def _repo(self, request, repo_id, rebuild, content=False):
        """The repository if this request may see it; follows renames with a relative redirect."""
        repo = self.tree.get(repo_id)
        if repo is None:
            self._missing_repo(request)
        config = repo.config
        if "renamed_to" in config:
            location = rebuild(config["renamed_to"])
            if request.query_text:
                location += "?" + request.query_text
            if config.get("renamed_absolute"):
                location = self._base_for(request) + location
            raise ApiError(redirect_reply(307, location))
        granted = config.get("tokens", [])
        private = config.get("private")
        if private and request.token not in (private if isinstance(private, list) else granted):
            self._missing_repo(request)
        if config.get("disabled"):
            _fail(403, "Access to this resource is disabled.")
        if content and config.get("gated") and request.token not in granted:
            self._gated(request, repo)
        return repo

    def _gated(self, request, repo):
        text = f"Access to model {repo.id} is restricted"
        if request.token is None:
            _fail(401, f"{text}. You must have access to it and be authenticated to access it. "
                  "Please log in.", "GatedRepo")
        if request.token in repo.config.get("pending", []):
            _fail(403, f"Your request to access model {repo.id} is awaiting a review from the "
                  "repo authors.", "GatedRepo")
        _fail(403, f"{text} and you are not in the authorized list. Visit "
              f"{self._base_for(request)}/{repo.id} to ask for access.", "GatedRepo")

    @staticmethod
    def _snapshot(repo, revision):
        snapshot = repo.snapshot(revision)
        if snapshot is None:
            _fail(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return snapshot

    def _base_for(self, request):
        """The origin as the client wrote it, so that localhost and 127.0.0.1 both work."""
        port = self.base["hub"].rpartition(":")[2]
        named = request.headers.get("host", "")
        return f"http://{named}" if named == f"localhost:{port}" else self.base["hub"]

    # ---- metadata API ------------------------------------------------------------------------

    def _api(self, request, rest):
        if not rest or rest == [""]:
            return self._search(request)
        width = 2 if len(rest) > 1 and rest[1] not in _ACTIONS else 1
        if len(rest) > 1 and self.tree.get("/".join(rest[:2])):
            width = 2
        tail = request.path.split("/")[3 + width:]

        def rebuild(new_id):
            return "/".join(["/api/models", quote(new_id), *tail])

        action, args = (rest[width], rest[width + 1:]) if len(rest) > width else ("", [])
        repo = self._repo(request, "/".join(rest[:width]), rebuild, action == "auth-check")
        if request.method == "POST" and action != "paths-info":
            _fail(405, "Method Not Allowed")
        if action == "":
            return self._info(request, repo, "main")
        if action == "revision":
            return self._info(request, repo, "/".join(args))
        if action == "tree":
            return self._tree(request, repo, *_split_revision(args))
        if action == "paths-info":
            return self._paths_info(request, repo, _split_revision(args)[0])
        if action == "refs":
            return self._refs(request, repo)
        if action == "commits":
            commit = self._snapshot(repo, "/".join(args) or "main").commit
            return json_reply([{"id": commit, "title": "Upload files", "message": "",
                                "authors": [{"user": "hub"}], "date": COMMIT_DATE}])
        if action == "auth-check":
            return text_reply(200, "OK")
        if action == "xet-read-token":
            return json_reply({"accessToken": "xet_loopback", "exp": int(time.time()) + 900,
                               "casUrl": self.base["cdn"]})
        return error_reply(404, "Sorry, we can't find the page you are looking for.")

    def _info(self, request, repo, revision):
        snapshot = self._snapshot(repo, revision)
        document = self._document(repo, snapshot, request.flag("blobs"))
        if request.flag("securityStatus"):
            document["securityRepoStatus"] = {"scansDone": True, "filesWithIssues": []}
        wanted = {v for k, v in request.query_list if k in ("expand", "expand[]")}
        if wanted and (request.flag("blobs") or request.flag("securityStatus")):
            _fail(400, "expand cannot be used with blobs or securityStatus")
        if wanted:
            document = {k: v for k, v in document.items() if k in wanted | {"_id", "id"}}
        return json_reply(document, 200, [("X-Repo-Commit", snapshot.commit)])

    def _document(self, repo, snapshot, blobs):
        config = repo.config
        siblings = []
        for name in sorted(snapshot.files):
            entry = snapshot.files[name]
            sibling = {"rfilename": name}
            if blobs:
                sibling["blobId"] = entry.blob_id
                sibling["size"] = entry.size
                if entry.is_lfs:
                    sibling["lfs"] = {"sha256": entry.sha256, "size": entry.size,
                                      "pointerSize": len(entry.pointer)}
            siblings.append(sibling)
        document = {
            "_id": repo.object_id, "id": repo.id, "modelId": repo.id,
            "author": config.get("author", repo.id.rpartition("/")[0] or "hub"),
            "sha": snapshot.commit, "lastModified": COMMIT_DATE, "createdAt": COMMIT_DATE,
            "private": bool(config.get("private")), "gated": config.get("gated", False),
            "disabled": bool(config.get("disabled")), "downloads": 0, "likes": 0,
            "tags": config.get("tags", []), "cardData": config.get("card", {}),
            "config": self._model_config(snapshot), "siblings": siblings, "spaces": [],
            "usedStorage": sum(e.size for e in snapshot.files.values()),
        }
        for key in ("pipeline_tag", "library_name"):
            if key in config:
                document[key] = config[key]
        document.update(config.get("info", {}))
        return document

    @staticmethod
    def _model_config(snapshot):
        out = {}
        try:
            if "config.json" in snapshot.files:
                data = json.loads(Path(snapshot.files["config.json"].path).read_text())
                out = {k: data[k] for k in ("architectures", "model_type") if k in data}
            if "model_index.json" in snapshot.files:
                data = json.loads(Path(snapshot.files["model_index.json"].path).read_text())
                out["diffusers"] = {"_class_name": data["_class_name"]}
        except (ValueError, TypeError, KeyError):
            return {}  # the Hub, too, shows broken repositories
        return out

    def _row(self, repo, snapshot, name, entry, expand):
        if entry is None:
            row = {"type": "directory", "oid": snapshot.trees[name], "size": 0, "path": name}
        else:
            row = {"type": "file", "oid": entry.blob_id, "size": entry.size, "path": name}
            if entry.is_lfs:
                row["lfs"] = {"oid": entry.sha256, "size": entry.size,
                              "pointerSize": len(entry.pointer)}
                if self._has_xet(repo):
                    row["xetHash"] = xet_hash(entry.sha256)
        if expand:
            row["lastCommit"] = {"id": snapshot.commit, "title": "Upload files",
                                 "date": COMMIT_DATE}
            if entry is not None:
                row["securityFileStatus"] = {"status": "safe", "avScan": None,
                                             "pickleImportScan": None}
        return row

    def _tree(self, request, repo, revision, folder):
        snapshot = self._snapshot(repo, revision)
        folder = folder.strip("/")
        if folder not in snapshot.trees:
            _fail(404, f'{folder} does not exist on "{revision}"', "EntryNotFound",
                  [("X-Repo-Commit", snapshot.commit)])
        expand = request.flag("expand")
        rows = list(snapshot.walk(folder, request.flag("recursive")))
        cap = min(self.options["page_size"], 50) if expand else self.options["page_size"]
        start, limit = self._window(request, cap)
        page = [self._row(repo, snapshot, name, entry, expand)
                for name, entry in rows[start:start + limit]]
        headers = [("X-Repo-Commit", snapshot.commit)]
        return json_reply(page, 200, headers + self._next_link(request, start + limit, len(rows)))

    @staticmethod
    def _window(request, cap):
        try:
            start = json.loads(base64.urlsafe_b64decode(request.query.get("cursor", "") or b"MA=="))
            limit = min(int(request.query.get("limit", cap)), cap)
        except ValueError:
            _fail(400, "Invalid cursor or limit")
        if not isinstance(start, int) or start < 0 or limit < 1:
            _fail(400, "Invalid cursor or limit")
        return start, limit

    def _next_link(self, request, following, total):
        """The next page as an absolute URL with an opaque cursor, as the Hub writes it."""
        if following >= total:
            return []
        query = [(k, v) for k, v in request.query_list if k != "cursor"]
        query.append(("cursor", base64.urlsafe_b64encode(str(following).encode()).decode()))
        url = f"{self._base_for(request)}{request.path}?{urlencode(query)}"
        return [("Link", f'<{url}>; rel="next"')]

    def _paths_info(self, request, repo, revision):
        if request.method != "POST":
            _fail(405, "Method Not Allowed")
        snapshot = self._snapshot(repo, revision)
        if "json" in request.headers.get("content-type", ""):
            try:
                asked = json.loads(request.body)
                paths, expand = asked.get("paths", []), bool(asked.get("expand"))
            except (ValueError, AttributeError):
                _fail(400, "Invalid JSON body")
        else:
            form = parse_qsl(request.body.decode("utf-8", "replace"))
            paths = [v for k, v in form if k in ("paths", "paths[]")]
            expand = ("expand", "true") in [(k, v.lower()) for k, v in form]
        paths = [paths] if isinstance(paths, str) else paths
        rows = [self._row(repo, snapshot, p, snapshot.files.get(p), expand)
                for p in paths if p in snapshot.files or (p and p in snapshot.trees)]
        return json_reply(rows)

    def _refs(self, request, repo):
        out = {"branches": [], "converts": [], "tags": []}
        if "include_prs" in request.query:
            out["pullRequests"] = []
        groups = {"branch": ("branches", "refs/heads/"), "tag": ("tags", "refs/tags/"),
                  "convert": ("converts", ""), "pr": ("pullRequests", "")}
        for name, value in repo.revisions().items():
            group, prefix = groups[value["kind"]]
            if group in out:
                short = name.rpartition("/")[2] if not prefix else name
                out[group].append({"name": short, "ref": prefix + name,
                                   "targetCommit": repo.snapshot(name).commit})
        return json_reply(out)

    def _search(self, request):
        query = request.query
        found = []
        for repo in self.tree.all():
            config = repo.config
            if "renamed_to" in config or config.get("private"):
                continue
            if query.get("search", "").lower() in repo.id.lower() and (
                    query.get("author", "") in ("", repo.id.partition("/")[0])):
                document = self._document(repo, self._snapshot(repo, "main"), False)
                if not request.flag("full"):
                    document.pop("siblings")
                found.append(document)
        start, limit = self._window(request, self.options["page_size"])
        return json_reply(found[start:start + limit], 200,
                          self._next_link(request, start + limit, len(found)))

    # ---- bytes ---------------------------------------------------------------------------------

    def _has_xet(self, repo):
        return repo.config.get("xet", self.options["xet"])

    def _files_of_repo(self, request, repo_id, kind, rest):
        prefix = request.path.split("/")[len(repo_id.split("/")) + 1:]
        repo = self._repo(request, repo_id,
                          lambda new: "/".join(["", quote(new), *prefix]), content=True)
        revision, name = _split_revision(rest)
        snapshot = self._snapshot(repo, revision)
        if kind in ("blob", "tree"):
            return self._page(request, repo_id)
        entry = snapshot.files.get(name)
        commit = [("X-Repo-Commit", snapshot.commit)]
        if entry is None:
            raise ApiError(text_reply(404, "Entry not found", [
                ("X-Error-Code", "EntryNotFound"), ("X-Error-Message", "Entry not found"),
                *commit]))
        if kind == "raw":
            return self._raw(request, entry, commit)
        if entry.is_lfs:
            return self._to_cdn(request, repo, snapshot, entry)
        linked = [*commit, ("X-Linked-Size", str(entry.size)),
                  ("X-Linked-Etag", f'"{entry.git_sha1}"')]
        if self.options["plain"] == "direct":
            return self._git_file(request, entry, commit)
        if not_modified(request, _content_of(entry, f'"{entry.git_sha1}"')):
            return Reply(304, [*linked, ("ETag", f'"{entry.git_sha1}"')])
        # The odd first parameter (the whole path as a name without a value) is what the Hub sends.
        location = (f"/api/resolve-cache/models/{quote(repo.id)}/{snapshot.commit}/{quote(name)}?"
                    f"{quote(request.path, safe='')}=&etag={quote(chr(34) + entry.git_sha1)}%22")
        return redirect_reply(307, location, linked)

    @staticmethod
    def _raw(request, entry, headers):
        """What git holds: the pointer for LFS files.  The Hub never answers 304 here."""
        request.headers.pop("if-none-match", None)
        if entry.is_lfs:
            content = Content(f'"{entry.blob_id}"', entry.mtime, data=entry.pointer)
        else:
            content = _content_of(entry, f'"{entry.git_sha1}"')
        return serve(request, content,
                     [*headers, ("Content-Type", "text/plain; charset=utf-8")], ranges=False)

    def _to_cdn(self, request, repo, snapshot, entry):
        key = self.tree.store(entry)
        headers = [("X-Repo-Commit", snapshot.commit), ("X-Linked-Size", str(entry.size)),
                   ("X-Linked-Etag", f'"{entry.sha256}"'), ("Accept-Ranges", "bytes")]
        if self._has_xet(repo):
            token_url = (f"{self._base_for(request)}/api/models/{repo.id}/xet-read-token/"
                         f"{snapshot.commit}")
            headers += [("X-Xet-Hash", key), ("Link", (
                f'<{token_url}>; rel="xet-auth", <{self.base["cdn"]}/v1/reconstructions/{key}>; '
                'rel="xet-reconstruction-info"'))]
        linked = Content(f'"{entry.sha256}"', entry.mtime, data=b"")
        if request.headers.get("if-none-match") and not_modified(request, linked):
            return Reply(304, headers)
        leaf = entry.name.rpartition("/")[2]
        shown = f"inline; filename*=UTF-8''{quote(leaf)}; filename=\"{leaf}\";"
        return redirect_reply(302, self.signed_url(repo, key, shown), headers)

    def signed_url(self, repo, key, disposition):
        path = f"/xet-bridge-us/{repo.object_id}/{key}"
        expires = int(time.time()) + self.options["url_ttl"]
        condition = {"DateLessThan": {"AWS:EpochTime": expires}}
        policy = json.dumps({"Statement": [{"Resource": f"{self.base['cdn']}{path}*",
                                            "Condition": condition}]}, separators=(",", ":"))
        query = {"response-content-disposition": disposition, "Expires": str(expires),
                 "Policy": base64.urlsafe_b64encode(policy.encode()).decode(),
                 "Signature": self._sign(path, str(expires)), "Key-Pair-Id": "KLOOPBACKHUB"}
        return f"{self.base['cdn']}{path}?{urlencode(query)}"

    @staticmethod
    def _sign(path, expires):
        mac = hmac.new(_SECRET, f"{path}\n{expires}".encode(), hashlib.sha256).digest()
        return base64.urlsafe_b64encode(mac).decode()

    def _resolve_cache(self, request, rest):
        width = 2 if len(rest) > 2 and self.tree.get("/".join(rest[:2])) else 1
        repo = self._repo(request, "/".join(rest[:width]), lambda new: "/" + new, content=True)
        if len(rest) <= width + 1:
            _fail(404, "Entry not found", "EntryNotFound")
        snapshot = self._snapshot(repo, rest[width])
        entry = snapshot.files.get("/".join(rest[width + 1:]))
        # A client that loses the query of the redirect must notice it here.
        if entry is None or entry.is_lfs or request.query.get("etag") != f'"{entry.git_sha1}"':
            _fail(404, "Entry not found", "EntryNotFound", [("X-Repo-Commit", snapshot.commit)])
        return self._git_file(request, entry, [("X-Repo-Commit", snapshot.commit)])

    @staticmethod
    def _git_file(request, entry, headers):
        is_text = entry.name.endswith(_TEXT)
        kind = "text/plain; charset=utf-8" if is_text else "application/octet-stream"
        leaf = entry.name.rpartition("/")[2]
        headers = [*headers, ("Content-Type", kind), ("Vary", "Accept-Encoding"),
                   ("Content-Disposition", f"inline; filename*=UTF-8''{quote(leaf)}; "
                    f'filename="{leaf}";')]
        if is_text and request.accepts_gzip() and request.swap is None:
            # Compressed and chunked, with no length, unless the client asked for identity.
            etag = f'W/"{entry.git_sha1}"'
            reply = serve(request, _content_of(entry, etag), headers, ranges=False)
            if reply.status == 200:
                data = gzip.compress(Path(entry.path).read_bytes(), mtime=0)
                reply.set_body(data)
                reply.headers += [("Content-Encoding", "gzip"), ("Transfer-Encoding", "chunked")]
            return reply
        return serve(request, _content_of(entry, f'"{entry.git_sha1}"'), headers)

    def _page(self, request, repo_id):
        """A web page: what a client gets that mistakes /blob/ or the repository URL for a file."""
        if self.tree.get(repo_id) is None:
            return text_reply(404, "<!doctype html><title>404</title>", kind="text/html")
        return text_reply(200, f"<!doctype html><title>{repo_id}</title><p>A model page.",
                          kind="text/html; charset=utf-8")

    # ---- the second origin, and plain files ----------------------------------------------------

    def _cdn(self, request):
        seg = request.segments
        if len(seg) != 3 or seg[0] != "xet-bridge-us":
            return self._denied(404, "NoSuchKey", "The specified key does not exist.")
        if "authorization" in request.headers:
            return self._denied(400, "InvalidArgument", "Only one auth mechanism allowed; only the "
                                "Signature query string parameter or the Authorization header "
                                "should be specified")
        expires = request.query.get("Expires", "")
        signature = request.query.get("Signature", "")
        if not hmac.compare_digest(signature.encode(), self._sign(request.path, expires).encode()):
            return self._denied(403, "AccessDenied", "Access denied")
        if int(expires) <= time.time():
            return self.expired()
        entry = self.tree.entry_by_xet_hash(seg[2])
        if entry is None:
            return self._denied(404, "NoSuchKey", "The specified key does not exist.")
        if entry.size > self.options["cdn_whole_limit"] and "range" not in request.headers:
            return self._denied(400, "InvalidRequest", "Range is required for objects this large")
        if request.accepts_gzip() and self.options["gzip_drops_range"]:
            request.headers.pop("range", None)
        return serve(request, _content_of(entry, f'"{seg[2]}"'), [
            ("Content-Type", "application/octet-stream"),
            ("Content-Disposition", request.query.get("response-content-disposition", "inline")),
            ("Cache-Control", "public, max-age=31536000"), ("X-Cache", "Hit from loopback")])

    @staticmethod
    def _denied(status, code, message):
        return text_reply(status, f'<?xml version="1.0" encoding="UTF-8"?><Error><Code>{code}'
                          f"</Code><Message>{message}</Message></Error>", kind="application/xml")

    def expired(self):
        return self._denied(403, "AccessDenied", "Request has expired")

    def _plain_file(self, request):
        """/files/<path>: any file, for URLs that know nothing of the Hub.

        Query: cd (Content-Disposition), ct (Content-Type), etag (weak, none or a literal value),
        lm=none, ranges=none, token (that Bearer token is required).
        """
        query = request.query
        root = self.options["files"]
        parts = request.segments[1:]
        bad = any(p in ("", ".", "..") or "/" in p or "\0" in p for p in parts)
        if root is None or bad or not Path(root, *parts).is_file():
            return text_reply(404, "Not found")
        if "token" in query and request.token != query["token"]:
            return text_reply(401, "Unauthorized", [("WWW-Authenticate", "Bearer")])
        path = Path(root, *parts)
        st = os.stat(path)
        etag = f'"{st.st_mtime_ns:x}-{st.st_size:x}"'
        wanted = query.get("etag")
        if wanted is not None:
            etag = {"weak": "W/" + etag, "none": None}.get(wanted, wanted)
        headers = [("Content-Type", query.get("ct", "application/octet-stream"))]
        if "cd" in query:
            headers.append(("Content-Disposition", query["cd"]))
        content = Content(etag, st.st_mtime, path=path, size=st.st_size)
        reply = serve(request, content, headers, ranges=query.get("ranges") != "none")
        if query.get("lm") == "none":
            reply.drop("Last-Modified")
        return reply
