// For tests: certificate authorities and the certificates that they sign, made on the spot.
//
//   TestCa ca("root");
//   TestCertificate server = ca.Issue("server");   // good for localhost and 127.0.0.1
#ifndef WINNOW_SERVER_TEST_CERTIFICATES_H_
#define WINNOW_SERVER_TEST_CERTIFICATES_H_

#include <openssl/evp.h>
#include <openssl/x509.h>

#include <memory>
#include <string>

namespace winnow {

struct TestCertificate {
  std::string cert, key;  // PEM
};

// P-256 keys, valid for an hour around now; serial numbers differ.
class TestCa {
 public:
  explicit TestCa(const std::string& name);

  const std::string& cert() const { return pem_; }
  TestCertificate Issue(const std::string& name) const;
  // With a key so short that OpenSSL does not serve with it.
  TestCertificate IssueWeak(const std::string& name) const;

 private:
  TestCertificate IssueFor(const std::string& name, EVP_PKEY* key) const;

  std::shared_ptr<EVP_PKEY> key_;
  std::shared_ptr<X509> cert_;
  std::string pem_;
};

// The same key, as it would be with a passphrase.
std::string EncryptKey(const std::string& key_pem, const std::string& passphrase);

// Replaces a file's content at once, as careful programs do: by a rename.
void WriteTestFile(const std::string& path, const std::string& content);

}  // namespace winnow

#endif  // WINNOW_SERVER_TEST_CERTIFICATES_H_
