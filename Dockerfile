# The manager's image: one static binary, the certificate authorities and an unprivileged user; no shell, no package
# manager, nothing to write to. That is what the "static" distroless images hold, without depending on a second
# publisher. It runs with a read-only root file system.
FROM golang:1.26 AS build

WORKDIR /src

# The modules first: they change less often than the sources, so they stay cached.
COPY go.mod go.sum ./
RUN go mod download

COPY . .
# The same target as on a developer's machine, where hack/image_test.sh looks at what comes out.
ARG VERSION=dev
RUN make build VERSION="$VERSION" \
	&& printf 'nonroot:x:65532:65532:nonroot:/:/sbin/nologin\n' >/etc/passwd.nonroot

FROM scratch

COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /etc/passwd.nonroot /etc/passwd
COPY --from=build /src/bin/plumbline /plumbline

# By number: a cluster that demands runAsNonRoot cannot look a name up.
USER 65532:65532
ENTRYPOINT ["/plumbline"]
