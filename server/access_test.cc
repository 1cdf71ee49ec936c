#include "server/access.h"

#include <cstdio>
#include <fstream>
#include <string>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/test_log.h"

namespace winnow {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

constexpr char kToken[] = "0123456789abcdef-one";
constexpr char kOther[] = "0123456789abcdef-two";

std::string Tenant1(const std::string& token, const std::string& fields = "") {
  return absl::StrCat(R"({"name": "one", "tokens": [")", token, "\"]", fields, "}");
}
std::string File(const std::string& tenants) {
  return absl::StrCat(R"({"tenants": [)", tenants, "]}");
}

class AccessTest : public ::testing::Test {
 protected:
  AccessTest() {
    Write(File(Tenant1(kToken)));
    access_ = Access::Load(path_, absl::Now).value();
    log_.Take();
  }

  void Write(const std::string& text) {
    std::ofstream(path_ + ".new", std::ios::binary) << text;
    ASSERT_EQ(std::rename((path_ + ".new").c_str(), path_.c_str()), 0);
  }
  absl::StatusOr<std::shared_ptr<Tenant>> With(const std::string& value,
                                               Rpc rpc = Rpc::kGenerate) const {
    return access_->Authorize({value}, rpc);
  }
  bool Known(const std::string& token) const { return With("Bearer " + token).ok(); }

  const std::string path_ = absl::StrCat(
      testing::TempDir(), "/", testing::UnitTest::GetInstance()->current_test_info()->name());
  TestLog log_;
  std::unique_ptr<Access> access_;
};

TEST_F(AccessTest, KnownTokenIsItsTenant) {
  const auto tenant = With(absl::StrCat("Bearer ", kToken));
  ASSERT_TRUE(tenant.ok()) << tenant.status();
  EXPECT_EQ((*tenant)->name(), "one");
  EXPECT_TRUE(With(absl::StrCat("bearer ", kToken)).ok()) << "schemes have no case";
}

TEST_F(AccessTest, EverythingElseIsUnauthenticated) {
  EXPECT_EQ(access_->Authorize({}, Rpc::kGenerate).status().code(),
            absl::StatusCode::kUnauthenticated);
  const std::string good = absl::StrCat("Bearer ", kToken);
  EXPECT_EQ(access_->Authorize({good, good}, Rpc::kGenerate).status().code(),
            absl::StatusCode::kUnauthenticated);
  for (const std::string& value :
       {std::string(kToken), absl::StrCat("Basic ", kToken), std::string("Bearer "),
        std::string("Bearer"), std::string(), absl::StrCat("Bearer ", kOther),
        absl::StrCat("Bearer  ", kToken), absl::StrCat("Bearer ", kToken, " "),
        absl::StrCat("Bearer ", kToken).substr(0, 20), std::string("Bearer \xff\0x", 10)}) {
    const absl::Status status = With(value).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kUnauthenticated) << value;
    EXPECT_THAT(std::string(status.message()), Not(HasSubstr("0123456789")));
  }
}

TEST_F(AccessTest, LoadNamesTheFile) {
  const auto missing = Access::Load("/no/such/file", absl::Now);
  EXPECT_THAT(std::string(missing.status().message()), HasSubstr("/no/such/file"));
  Write("{");
  const auto broken = Access::Load(path_, absl::Now);
  EXPECT_THAT(std::string(broken.status().message()), HasSubstr(path_ + ": is not valid JSON"));
}

TEST_F(AccessTest, ChangedFileHoldsFromTheNextCallOn) {
  const std::shared_ptr<Tenant> before = *With(absl::StrCat("Bearer ", kToken));
  Write(File(Tenant1(kOther, R"(, "rpcs": ["GetLoad"])")));
  EXPECT_TRUE(Known(kToken));
  access_->Poll();
  EXPECT_FALSE(Known(kToken));
  EXPECT_THAT(log_.Take(), HasSubstr("info 1 tenants reloaded from " + path_));
  const auto denied = With(absl::StrCat("Bearer ", kOther));
  EXPECT_EQ(denied.status().code(), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(*With(absl::StrCat("Bearer ", kOther), Rpc::kGetLoad), before)
      << "a tenant that stays keeps its account";
  access_->Poll();
  EXPECT_THAT(log_.Take(), IsEmpty()) << "nothing has changed";
}

TEST_F(AccessTest, InvalidFileKeepsTheTenantsAndWarnsOnce) {
  Write(File(Tenant1(kOther, ", \"max_priorty\": 1")));
  access_->Poll();
  EXPECT_TRUE(Known(kToken));
  EXPECT_FALSE(Known(kOther));
  EXPECT_THAT(log_.Take(),
              AllOf(HasSubstr("warning the tenants in use stay: " + path_ + ": tenants[0] (one)"),
                    HasSubstr("max_priorty"), Not(HasSubstr(kOther))));
  access_->Poll();
  EXPECT_THAT(log_.Take(), IsEmpty());
  Write(File(Tenant1(kOther, ", \"max_priorty\": 2")));
  access_->Poll();
  EXPECT_THAT(log_.Take(), HasSubstr("warning")) << "another state of the file";
  std::remove(path_.c_str());
  access_->Poll();
  EXPECT_THAT(log_.Take(), HasSubstr("cannot read " + path_));
  access_->Poll();
  EXPECT_THAT(log_.Take(), IsEmpty());
  EXPECT_TRUE(Known(kToken));
  Write(File(Tenant1(kOther)));
  access_->Poll();
  EXPECT_TRUE(Known(kOther));
}

TEST_F(AccessTest, CallsOfATenantThatIsGoneEndAsTheyWould) {
  TenantLease lease;
  ASSERT_TRUE(lease.Open(*With(absl::StrCat("Bearer ", kToken)), 0).ok());
  Write(File(R"({"name": "two", "tokens": ["0123456789abcdef-two"]})"));
  access_->Poll();
  EXPECT_FALSE(Known(kToken));
  EXPECT_TRUE(lease.Charge(1, 1).ok());
  lease.Close();
}

TEST_F(AccessTest, AuthorizesWhileTheFileChanges) {
  std::thread caller([this] {
    for (int i = 0; i < 2000; ++i) EXPECT_TRUE(Known(kToken));
  });
  for (int i = 0; i < 50; ++i) {
    Write(File(Tenant1(kToken, absl::StrCat(", \"max_priority\": ", i))));
    access_->Poll();
  }
  caller.join();
}

}  // namespace
}  // namespace winnow
