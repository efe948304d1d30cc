#include "settle_payment.h"

int main(int argc, char** argv) {
  deja::Application app("payments", argc, argv);  // flags and configuration; wrong ones end the program with 64 or 78
  app.init(payment_tables).handle<SettlePayment>("payments");
  return app.run();
}
