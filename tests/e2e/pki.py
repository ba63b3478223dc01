# SPDX-License-Identifier: Apache-2.0
"""Certificates for tests, made by the openssl program: authorities, servers and clients, good for an hour or so."""
import subprocess


def openssl(*args, **options):
    return subprocess.run(["openssl", *map(str, args)], check=True, capture_output=True, text=True, **options).stdout


class Authority:
    """A certificate authority in a directory, on its own or under another; ca.pem is its certificate."""

    def __init__(self, directory, name, above=None):
        self.directory, self.name = directory / name, name
        self.directory.mkdir()
        self.pem, self.key = self.directory / "ca.pem", self.directory / "ca.key"
        if above:
            self.pem, self.key = above.issue(name, constraints="CA:TRUE")
            return
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                "-subj", f"/CN={name}", "-keyout", self.key, "-out", self.pem)

    def issue(self, name, san="", cn=None, constraints="CA:FALSE"):
        """(certificate, key) of a name, as PEM files."""
        pem, key, request = (self.directory / f"{name}.{suffix}" for suffix in ("pem", "key", "csr"))
        openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={cn or name}",
                "-keyout", key, "-out", request)
        extensions = self.directory / f"{name}.ext"
        extensions.write_text(f"subjectAltName={san}\n" if san else f"basicConstraints={constraints}\n")
        openssl("x509", "-req", "-in", request, "-CA", self.pem, "-CAkey", self.key, "-days", "2", "-extfile", extensions,
                "-set_serial", str(abs(hash((self.name, name, pem))) % 10**12), "-out", pem)
        return pem, key
