#include "server/test_certificates.h"

#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>

#include <atomic>
#include <cstdio>
#include <fstream>

#include "kernels/check.h"

namespace winnow {
namespace {

constexpr long kHalfAnHour = 1800;

using Bio = std::unique_ptr<BIO, decltype(&BIO_free_all)>;

std::string Content(BIO* bio) {
  const char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  return std::string(data, static_cast<size_t>(size));
}

std::shared_ptr<EVP_PKEY> NewKey() { return {EVP_EC_gen("P-256"), EVP_PKEY_free}; }

std::string KeyPem(EVP_PKEY* key) {
  const Bio bio(BIO_new(BIO_s_mem()), BIO_free_all);
  WINNOW_CHECK(PEM_write_bio_PrivateKey(bio.get(), key, nullptr, nullptr, 0, nullptr, nullptr) ==
               1);
  return Content(bio.get());
}

std::string CertPem(X509* cert) {
  const Bio bio(BIO_new(BIO_s_mem()), BIO_free_all);
  WINNOW_CHECK(PEM_write_bio_X509(bio.get(), cert) == 1);
  return Content(bio.get());
}

void AddExtension(X509* cert, int nid, const char* value) {
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, nullptr, nid, value);
  WINNOW_CHECK(extension != nullptr && X509_add_ext(cert, extension, -1) == 1) << value;
  X509_EXTENSION_free(extension);
}

// Unsigned, and without an issuer.
std::shared_ptr<X509> NewCertificate(const std::string& name, EVP_PKEY* key) {
  static std::atomic<long> serial{1};
  std::shared_ptr<X509> cert(X509_new(), X509_free);
  X509_set_version(cert.get(), X509_VERSION_3);
  ASN1_INTEGER_set(X509_get_serialNumber(cert.get()), serial++);
  X509_gmtime_adj(X509_getm_notBefore(cert.get()), -kHalfAnHour);
  X509_gmtime_adj(X509_getm_notAfter(cert.get()), kHalfAnHour);
  X509_set_pubkey(cert.get(), key);
  X509_NAME_add_entry_by_txt(X509_get_subject_name(cert.get()), "CN", MBSTRING_UTF8,
                             reinterpret_cast<const unsigned char*>(name.c_str()), -1, -1, 0);
  return cert;
}

}  // namespace

TestCa::TestCa(const std::string& name) : key_(NewKey()), cert_(NewCertificate(name, key_.get())) {
  X509_set_issuer_name(cert_.get(), X509_get_subject_name(cert_.get()));
  AddExtension(cert_.get(), NID_basic_constraints, "critical,CA:TRUE");
  WINNOW_CHECK(X509_sign(cert_.get(), key_.get(), EVP_sha256()) > 0);
  pem_ = CertPem(cert_.get());
}

TestCertificate TestCa::Issue(const std::string& name) const {
  return IssueFor(name, NewKey().get());
}

TestCertificate TestCa::IssueWeak(const std::string& name) const {
  const std::shared_ptr<EVP_PKEY> key(EVP_RSA_gen(512), EVP_PKEY_free);
  return IssueFor(name, key.get());
}

TestCertificate TestCa::IssueFor(const std::string& name, EVP_PKEY* key) const {
  const std::shared_ptr<X509> cert = NewCertificate(name, key);
  X509_set_issuer_name(cert.get(), X509_get_subject_name(cert_.get()));
  AddExtension(cert.get(), NID_subject_alt_name, "DNS:localhost,IP:127.0.0.1");
  WINNOW_CHECK(X509_sign(cert.get(), key_.get(), EVP_sha256()) > 0);
  return {CertPem(cert.get()), KeyPem(key)};
}

std::string EncryptKey(const std::string& key_pem, const std::string& passphrase) {
  const Bio reader(BIO_new_mem_buf(key_pem.data(), static_cast<int>(key_pem.size())), BIO_free_all);
  const std::shared_ptr<EVP_PKEY> key(
      PEM_read_bio_PrivateKey(reader.get(), nullptr, nullptr, nullptr), EVP_PKEY_free);
  const Bio writer(BIO_new(BIO_s_mem()), BIO_free_all);
  WINNOW_CHECK(PEM_write_bio_PKCS8PrivateKey(writer.get(), key.get(), EVP_aes_128_cbc(),
                                             passphrase.data(), static_cast<int>(passphrase.size()),
                                             nullptr, nullptr) == 1);
  return Content(writer.get());
}

void WriteTestFile(const std::string& path, const std::string& content) {
  const std::string other = path + ".new";
  std::ofstream(other, std::ios::binary) << content;
  WINNOW_CHECK(std::rename(other.c_str(), path.c_str()) == 0) << path;
}

}  // namespace winnow
