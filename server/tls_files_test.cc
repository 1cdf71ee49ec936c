#include "server/tls_files.h"

#include <sys/stat.h>

#include <algorithm>
#include <cstdio>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/test_certificates.h"
#include "server/test_log.h"

namespace winnow {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;

class TlsFilesTest : public ::testing::Test {
 protected:
  TlsFilesTest() {
    const std::string name = testing::UnitTest::GetInstance()->current_test_info()->name();
    const std::string stem = testing::TempDir() + "/" + name;
    paths_ = {.cert = stem + ".crt", .key = stem + ".key", .client_ca = stem + ".ca"};
    Write(pair_);
    WriteTestFile(paths_.client_ca, ca_.cert());
  }

  void Write(const TestCertificate& pair) {
    WriteTestFile(paths_.cert, pair.cert);
    WriteTestFile(paths_.key, pair.key);
  }
  std::string ErrorOfLoad() {
    const auto files = TlsFiles::Load(paths_);
    return files.ok() ? "" : std::string(files.status().message());
  }

  const TestCa ca_{"ca"};
  const TestCertificate pair_ = ca_.Issue("one");
  const TestCertificate renewed_ = ca_.Issue("two");
  TlsPaths paths_;
  TestLog log_;
};

TEST_F(TlsFilesTest, LoadsWhatFits) {
  const auto files = TlsFiles::Load(paths_);
  ASSERT_TRUE(files.ok()) << files.status();
  EXPECT_EQ((*files)->current()->cert, pair_.cert);
  EXPECT_EQ((*files)->current()->key, pair_.key);
  EXPECT_EQ((*files)->current()->client_ca, ca_.cert());
  EXPECT_TRUE((*files)->wants_client_certs());
  paths_.client_ca.clear();
  EXPECT_FALSE(TlsFiles::Load(paths_).value()->wants_client_certs());
}

TEST_F(TlsFilesTest, ChainsAreTakenWhole) {
  WriteTestFile(paths_.cert, pair_.cert + ca_.cert());
  EXPECT_EQ(TlsFiles::Load(paths_).value()->current()->cert, pair_.cert + ca_.cert());
}

TEST_F(TlsFilesTest, ErrorsNameTheFile) {
  std::remove(paths_.cert.c_str());
  EXPECT_THAT(ErrorOfLoad(), HasSubstr("cannot read " + paths_.cert + ": No such file"));
  WriteTestFile(paths_.cert, "hello");
  EXPECT_THAT(ErrorOfLoad(), HasSubstr(paths_.cert + " holds no PEM certificate"));
  WriteTestFile(paths_.cert, "");
  EXPECT_THAT(ErrorOfLoad(), HasSubstr(paths_.cert + " holds no PEM certificate"));
  WriteTestFile(paths_.cert, pair_.cert + ca_.cert().substr(0, ca_.cert().size() / 2));
  EXPECT_THAT(ErrorOfLoad(), HasSubstr(paths_.cert + " holds a PEM certificate that is damaged"));
  WriteTestFile(paths_.cert, renewed_.cert);
  EXPECT_THAT(ErrorOfLoad(), AllOf(HasSubstr(paths_.key), HasSubstr(paths_.cert),
                                   HasSubstr("does not belong to")));
  WriteTestFile(paths_.cert, pair_.cert);
  WriteTestFile(paths_.key, pair_.cert);
  EXPECT_THAT(ErrorOfLoad(), HasSubstr(paths_.key + " holds no PEM private key"));
  WriteTestFile(paths_.key, EncryptKey(pair_.key, "secret"));
  EXPECT_THAT(ErrorOfLoad(), HasSubstr(paths_.key + " holds an encrypted key"));
  WriteTestFile(paths_.key, pair_.key);
  WriteTestFile(paths_.client_ca, pair_.key);
  EXPECT_THAT(ErrorOfLoad(), HasSubstr(paths_.client_ca + " holds no PEM certificate"));
  WriteTestFile(paths_.client_ca, std::string((1 << 20) + 1, ' '));
  EXPECT_THAT(ErrorOfLoad(), HasSubstr(paths_.client_ca + " is longer than"));
  paths_.client_ca = testing::TempDir();
  EXPECT_THAT(ErrorOfLoad(), HasSubstr("is not a regular file"));
}

TEST_F(TlsFilesTest, KeysThatAreTooShortAreRefused) {
  Write(ca_.IssueWeak("weak"));
  EXPECT_THAT(ErrorOfLoad(), HasSubstr("does not serve with the certificate in " + paths_.cert +
                                       ": ee key too small"));
}

// A reader of a pipe would wait for a writer.
TEST_F(TlsFilesTest, PipesAreRefused) {
  std::remove(paths_.key.c_str());
  ASSERT_EQ(mkfifo(paths_.key.c_str(), 0600), 0);
  EXPECT_THAT(ErrorOfLoad(), HasSubstr("is not a regular file"));
  std::remove(paths_.key.c_str());
}

TEST_F(TlsFilesTest, RenewedPairIsTaken) {
  const auto files = TlsFiles::Load(paths_).value();
  const std::shared_ptr<const TlsPems> before = files->current();
  files->Poll();
  EXPECT_EQ(files->current(), before);
  EXPECT_THAT(log_.Take(), IsEmpty());
  Write(renewed_);
  files->Poll();
  EXPECT_EQ(files->current()->cert, renewed_.cert);
  EXPECT_EQ(files->current()->version, before->version + 1);
  EXPECT_EQ(before->cert, pair_.cert) << "who has the old one keeps it";
  EXPECT_THAT(log_.Take(), StartsWith("info certificates reloaded from"));
}

TEST_F(TlsFilesTest, HalfWrittenPairKeepsTheOldOneAndWarnsOnce) {
  const auto files = TlsFiles::Load(paths_).value();
  WriteTestFile(paths_.cert, renewed_.cert);
  files->Poll();
  files->Poll();
  EXPECT_EQ(files->current()->cert, pair_.cert);
  EXPECT_EQ(files->current()->key, pair_.key);
  const std::string log = log_.Take();
  EXPECT_THAT(log, AllOf(StartsWith("warning the certificates in use stay"),
                         HasSubstr("does not belong to")));
  EXPECT_EQ(std::count(log.begin(), log.end(), '\n'), 1) << log;
  WriteTestFile(paths_.key, renewed_.key.substr(0, renewed_.key.size() / 2));
  files->Poll();
  EXPECT_EQ(files->current()->cert, pair_.cert);
  EXPECT_THAT(log_.Take(), HasSubstr("holds no PEM private key"));
  WriteTestFile(paths_.key, renewed_.key);
  files->Poll();
  EXPECT_EQ(files->current()->cert, renewed_.cert);
  EXPECT_THAT(log_.Take(), Not(HasSubstr("warning")));
}

TEST_F(TlsFilesTest, MissingFileKeepsTheOldOneAndWarnsOnce) {
  const auto files = TlsFiles::Load(paths_).value();
  std::remove(paths_.key.c_str());
  files->Poll();
  EXPECT_THAT(log_.Take(), HasSubstr("cannot read " + paths_.key));
  files->Poll();
  EXPECT_EQ(files->current()->key, pair_.key);
  EXPECT_THAT(log_.Take(), IsEmpty());
  WriteTestFile(paths_.key, pair_.key);
  files->Poll();
  EXPECT_EQ(files->current()->version, 1u) << "nothing has changed";
  EXPECT_THAT(log_.Take(), IsEmpty());
}

TEST_F(TlsFilesTest, NewClientCaIsTakenToo) {
  const auto files = TlsFiles::Load(paths_).value();
  const TestCa other("other");
  WriteTestFile(paths_.client_ca, other.cert());
  files->Poll();
  EXPECT_EQ(files->current()->client_ca, other.cert());
}

}  // namespace
}  // namespace winnow
