# An order and its email in one transaction, with Rails.
module Postroom
  PUBLISH = "select postroom.publish(channel => ?, payload => ?::jsonb, key => ?)"

  # Publishes in the transaction that is open. Returns the message's id.
  def self.publish(channel, payload, key: nil)
    sql = ActiveRecord::Base.sanitize_sql_array([PUBLISH, channel, payload.to_json, key])
    ActiveRecord::Base.connection.select_value(sql)
  end
end

class Order < ApplicationRecord
  def self.place!(email:, total:)
    transaction do
      order = create!(email: email, total: total)
      payload = { to: email, subject: "Your order", text: "Order #{order.id} is on its way." }
      Postroom.publish("email", payload, key: "order:#{order.id}")
      order
    end
  end
end
