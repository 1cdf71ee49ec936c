#include "server/tls_files.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "server/text_file.h"
#include "spdlog/spdlog.h"

namespace winnow {
namespace {

constexpr size_t kMaxFileBytes = size_t{1} << 20;  // the largest public CA bundles have a quarter

template <auto Free>
struct Freer {
  template <typename T>
  void operator()(T* object) const {
    Free(object);
  }
};
using Bio = std::unique_ptr<BIO, Freer<BIO_free_all>>;
using Certificate = std::unique_ptr<X509, Freer<X509_free>>;
using Context = std::unique_ptr<SSL_CTX, Freer<SSL_CTX_free>>;
using Key = std::unique_ptr<EVP_PKEY, Freer<EVP_PKEY_free>>;

Bio Reader(const std::string& text) {
  return Bio(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

// What OpenSSL's errors say is of little use to who writes the files, and would add up unread.
template <typename... Args>
absl::Status Wrong(const Args&... args) {
  ERR_clear_error();
  return absl::InvalidArgumentError(absl::StrCat(args...));
}

// Instead of a question for the passphrase on the terminal.
int NoPassphrase(char*, int, int, void* asked) {
  *static_cast<bool*>(asked) = true;
  return -1;
}

// The first certificate. All that follow must be whole, too.
absl::StatusOr<Certificate> ParseCertificates(const std::string& path, const std::string& pem) {
  const Bio reader = Reader(pem);
  Certificate first(PEM_read_bio_X509(reader.get(), nullptr, nullptr, nullptr));
  if (first == nullptr) return Wrong(path, " holds no PEM certificate");
  while (const Certificate next{PEM_read_bio_X509(reader.get(), nullptr, nullptr, nullptr)}) {
  }
  const bool at_end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
  if (!at_end) return Wrong(path, " holds a PEM certificate that is damaged or cut off");
  ERR_clear_error();
  return first;
}

absl::StatusOr<Key> ParseKey(const std::string& path, const std::string& pem) {
  bool encrypted = false;
  Key key(PEM_read_bio_PrivateKey(Reader(pem).get(), nullptr, NoPassphrase, &encrypted));
  if (encrypted) return Wrong(path, " holds an encrypted key; it must be without a passphrase");
  if (key == nullptr) return Wrong(path, " holds no PEM private key");
  return key;
}

// OpenSSL serves with keys from some length on only.
absl::Status CheckServes(const std::string& path, X509* cert) {
  const Context context(SSL_CTX_new(TLS_server_method()));
  if (SSL_CTX_use_certificate(context.get(), cert) == 1) return absl::OkStatus();
  const char* why = ERR_reason_error_string(ERR_peek_last_error());
  return Wrong("OpenSSL does not serve with the certificate in ", path, ": ",
               why == nullptr ? "no reason given" : why);
}

absl::Status Check(const TlsPaths& paths, const TlsPems& pems) {
  const auto cert = ParseCertificates(paths.cert, pems.cert);
  if (!cert.ok()) return cert.status();
  const auto key = ParseKey(paths.key, pems.key);
  if (!key.ok()) return key.status();
  if (X509_check_private_key(cert->get(), key->get()) != 1) {
    return Wrong("the key in ", paths.key, " does not belong to the certificate in ", paths.cert);
  }
  if (absl::Status status = CheckServes(paths.cert, cert->get()); !status.ok()) return status;
  if (paths.client_ca.empty()) return absl::OkStatus();
  return ParseCertificates(paths.client_ca, pems.client_ca).status();
}

absl::StatusOr<TlsPems> Read(const TlsPaths& paths) {
  TlsPems pems;
  for (const auto& [path, text] :
       {std::pair(&paths.cert, &pems.cert), std::pair(&paths.key, &pems.key),
        std::pair(&paths.client_ca, &pems.client_ca)}) {
    if (path->empty()) continue;
    auto read = ReadTextFile(*path, kMaxFileBytes);
    if (!read.ok()) return read.status();
    *text = *std::move(read);
  }
  return pems;
}

}  // namespace

absl::StatusOr<std::unique_ptr<TlsFiles>> TlsFiles::Load(TlsPaths paths) {
  auto pems = Read(paths);
  if (!pems.ok()) return pems.status();
  if (absl::Status status = Check(paths, *pems); !status.ok()) return status;
  std::unique_ptr<TlsFiles> files(new TlsFiles(std::move(paths)));
  files->last_read_ = *pems;
  files->Accept(*std::move(pems));
  return files;
}

void TlsFiles::Poll() {
  auto pems = Read(paths_);
  if (!pems.ok()) return Refuse(pems.status());
  last_warning_.clear();
  if (pems->SameFiles(last_read_)) return;
  last_read_ = *pems;
  if (const absl::Status status = Check(paths_, *pems); !status.ok()) return Refuse(status);
  // Back from a state that was refused.
  if (pems->SameFiles(*current())) return;
  Accept(*std::move(pems));
  spdlog::info("certificates reloaded from {}", paths_.cert);
}

void TlsFiles::Accept(TlsPems pems) {
  std::lock_guard<std::mutex> lock(mu_);
  pems.version = current_ == nullptr ? 1 : current_->version + 1;
  current_ = std::make_shared<const TlsPems>(std::move(pems));
}

void TlsFiles::Refuse(const absl::Status& status) {
  if (last_warning_ == status.message()) return;
  last_warning_ = std::string(status.message());
  spdlog::warn("the certificates in use stay: {}", last_warning_);
}

std::shared_ptr<const TlsPems> TlsFiles::current() const {
  std::lock_guard<std::mutex> lock(mu_);
  return current_;
}

}  // namespace winnow
